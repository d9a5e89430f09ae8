"""What comparisons say of bodies: moved with the pictures, spoilt in known amounts, told to the networks that ask."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from NFC.datasets import build_dataset
from NFC.datasets.partial import crop
from NFC.datasets.partial_queries import rng_of, write_partial_queries
from NFC.datasets.synthetic.layouts import KEYPOINTS, MASKS, write_layout
from NFC.experiments.comparison.bodies import (
    ORDINARY,
    BodyFiles,
    Pictures,
    check_known,
    mean_points,
    shown_points,
)
from NFC.experiments.comparison.run import run_comparison
from pose2id.errors import UserError

SEED = 9


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("bodies") / "data"
    write_layout("market1501", root, 5, train_pids=2, test_pids=3, masks=True, keypoints=True)
    return root


def ordinary(root: Path) -> Pictures:
    return Pictures(build_dataset("market1501", root), {}, ORDINARY, root)


def points_in(file: Path) -> dict[str, np.ndarray]:
    return {row["path"]: np.array(row["keypoints"]) for row in map(json.loads, file.read_text().splitlines())}


def test_exact_points_are_the_truth_of_all_pictures(root, tmp_path):
    found = points_in(BodyFiles(tmp_path, SEED).keypoints(ordinary(root), "exact"))
    truth = points_in(root / KEYPOINTS)
    assert found.keys() <= truth.keys() and len(found) > 20
    assert all((found[name] == truth[name]).all() for name in found)
    assert BodyFiles(tmp_path, SEED).masks(ordinary(root), "exact") == root / MASKS


def test_noise_has_the_size_that_its_name_says(root, tmp_path):
    files, pictures = BodyFiles(tmp_path, SEED), ordinary(root)
    exact, noisy = (points_in(files.keypoints(pictures, known)) for known in ("exact", "noise_10"))
    moved = np.concatenate([(noisy[name] - exact[name])[exact[name][:, 2] > 0, :2] for name in exact])
    assert moved.std() == pytest.approx(0.1 * 128, rel=0.1) and abs(moved.mean()) < 1
    hidden = np.concatenate([noisy[name][exact[name][:, 2] == 0] for name in exact])
    assert (hidden == 0).all()


def test_shuffled_is_of_another_picture_of_the_split(root, tmp_path):
    files, pictures = BodyFiles(tmp_path, SEED), ordinary(root)
    truth, shuffled = (points_in(files.keypoints(pictures, known)) for known in ("exact", "shuffled"))
    for split in pictures.splits:
        names = [path.as_posix() for path in pictures.paths(split)]
        own = sorted(truth[name].round(2).tobytes() for name in names)
        assert sorted(shuffled[name].tobytes() for name in names) == own
        assert sum((shuffled[name] != truth[name]).any() for name in names) > len(names) / 2


def test_one_mean_pose_for_all(root, tmp_path):
    found = points_in(BodyFiles(tmp_path, SEED).keypoints(ordinary(root), "mean"))
    one = next(iter(found.values()))
    assert all((points == one).all() for points in found.values())
    with pytest.raises(UserError, match="mean is known of points alone"):
        BodyFiles(tmp_path, SEED).masks(ordinary(root), "mean")
    two = np.zeros((2, 18, 3))
    two[0, 0], two[1, 0], two[1, 1] = (2, 4, 1), (4, 8, 1), (5, 6, 1)
    assert mean_points(list(two))[:3].tolist() == [[3, 6, 1], [5, 6, 1], [0, 0, 0]]


def test_points_and_masks_move_with_loose_queries(root, tmp_path):
    write_partial_queries("market1501", root, tmp_path / "loose", "loose", SEED)
    loose = Pictures(build_dataset("market1501", tmp_path / "loose"), {}, "loose", root)
    files = BodyFiles(tmp_path / "files", SEED)
    points, masks = points_in(files.keypoints(loose, "exact")), files.masks(loose, "exact")
    truth = points_in(root / KEYPOINTS)
    assert points.keys() == {path.as_posix() for path in loose.paths("query")}
    for inside in loose.paths("query"):
        row = next(row for row in range(2, 14) if truth[inside.as_posix()][row, 2])
        dot = np.zeros((128, 64, 3), np.uint8)
        x, y = truth[inside.as_posix()][row, :2]
        dot[int(y + 0.5) - 2 : int(y + 0.5) + 3, int(x)] = 255
        seen = crop(dot, "loose", rng_of(SEED, inside))[:, int(x), 0].astype(float)
        assert (seen * np.arange(128)).sum() / seen.sum() == pytest.approx(points[inside.as_posix()][row, 1], abs=1)
        whole = np.asarray(Image.open((root / MASKS / inside).with_suffix(".png")))
        own = np.asarray(Image.open((masks / inside).with_suffix(".png")))
        repeated = crop(np.repeat((whole > 0)[..., None] * np.uint8(255), 3, 2), "loose", rng_of(SEED, inside))[..., 0]
        assert ((repeated > 127) == (own > 0)).mean() > 0.97


def test_a_row_left_out_is_not_seen():
    points = np.array([[5.0, 10, 1], [6, 60, 1], [7, 20, 0]])
    assert shown_points(points, (20, 100), 100).tolist() == [[0, 0, 0], [6, 50.125, 1], [0, 0, 0]]


def test_noise_in_label_maps_is_a_share_of_blocks(root, tmp_path):
    pictures = ordinary(root)
    folder = BodyFiles(tmp_path, SEED).masks(pictures, "noise_30")
    other = []
    for inside in pictures.paths("gallery"):
        exact, noisy = (np.asarray(Image.open((p / inside).with_suffix(".png"))) for p in (root / MASKS, folder))
        blocks = (exact != noisy).reshape(16, 8, 8, 8)
        other.append(blocks.any((1, 3)).mean())
    assert np.mean(other) == pytest.approx(0.3 * 6 / 7, abs=0.05)  # a seventh of the classes is the right one


@pytest.mark.parametrize("known", ["guessed", "noise", "noise_x", "exact_5"])
def test_what_cannot_be_known_is_refused(known):
    with pytest.raises(UserError, match=f"bodies are known '{known}'"):
        check_known(known)


def test_rows_differ_by_what_is_known(tmp_path):
    (tmp_path / "tiny.yaml").write_text(
        """
seeds: [1]
data: {street: {train_pids: 6, test_pids: 4, bodies: true}}
networks:
  glad: {config: glad, data: street, points: exact, changes: [loop.max_train_steps=2, loop.batch_size=16]}
tables:
  one:
    heading: One
    data: street
    rows:
      exact: {network: glad}
      again: {network: glad, points: exact}
      shuffled: {network: glad, points: shuffled}
      none: {network: glad, points: none}
      whole: {network: glad, numbers: [0, 128]}
"""
    )
    run_comparison("lecture", "", str(tmp_path / "tiny.yaml"), [], tmp_path / "out")
    rows = {
        row["name"]: row["values"]["ordinary"]
        for row in json.loads((tmp_path / "out/one/one.json").read_text())["rows"]
    }
    assert rows["exact"] == rows["again"] and len(set(rows.values())) == 4
