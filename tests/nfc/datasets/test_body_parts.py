"""The body part of every pixel, as the synthetic world knows it, in shots and beside data sets."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from NFC.datasets import build_dataset
from NFC.datasets.synthetic import View, World
from NFC.datasets.synthetic.layouts import write_layout
from NFC.datasets.synthetic.occluders import KINDS
from NFC.datasets.synthetic.pose import KEYPOINTS, draw_pose
from NFC.datasets.synthetic.solids import HEAD, LOWER_ARM, LOWER_LEG, TORSO, UPPER_ARM, UPPER_LEG
from NFC.datasets.synthetic.world import SUPERSAMPLE, commonest
from NFC.networks.blocks.limbs import BONES
from NFC.networks.blocks.parsing import PARSINGS

# Part -> pairs of keypoints, half-way between which it is.
PLACES = {
    HEAD: [("Reye", "Leye")],
    TORSO: [("Rsho", "Lhip"), ("Lsho", "Rhip")],
    UPPER_ARM: [("Rsho", "Relb"), ("Lsho", "Lelb")],
    LOWER_ARM: [("Relb", "Rwri"), ("Lelb", "Lwri")],
    UPPER_LEG: [("Rhip", "Rkne"), ("Lhip", "Lkne")],
    LOWER_LEG: [("Rkne", "Rank"), ("Lkne", "Lank")],
}


@pytest.fixture(scope="module")
def world() -> World:
    return World(7)


def test_parts_are_numbered_as_everywhere():
    classes = PARSINGS["pascal"].classes
    names = ("head", "torso", "upper arms", "lower arms", "upper legs", "lower legs")
    assert [classes.index(name) for name in names] == list(PLACES) == list(BONES)


@pytest.mark.parametrize("occluder", ["", *KINDS])
def test_parts_are_where_the_person_is_drawn(world, occluder):
    carried = []
    for pid in range(12):
        shot = world.shoot(View(pid, camid=1, index=pid, occluder=occluder))
        seen = shot.person_mask & ~shot.occlusion_mask
        assert (shot.parsing.shape, shot.parsing.dtype) == ((128, 64), np.uint8) and shot.parsing.max() <= LOWER_LEG
        assert not shot.parsing[~seen].any()
        if world.identity(pid).bag == "none":
            assert np.array_equal(shot.parsing > 0, seen)
        else:
            carried.append((seen & (shot.parsing == 0)).sum())
    assert max(carried) > 50  # a bag is no part of a person


def test_limbs_are_between_their_joints(world):
    """Of people who face the camera, arms a little off the body."""
    right: Counter[int] = Counter()
    count = 20
    for pid in range(count):
        pose = replace(draw_pose(np.random.default_rng(pid), yaw=0.0), spread=(0.3, 0.3), arms=(0.0, 0.0), head_yaw=0.0)
        shot = world.shoot(View(pid, camid=pid % 6, index=0), replace(pose, elbows=(0.1, 0.1)))
        points = dict(zip(KEYPOINTS, shot.keypoints[:, :2], strict=True))
        for part, pairs in PLACES.items():
            places = [((points[a] + points[b]) / 2).astype(int) for a, b in pairs]
            right[part] += sum(int(shot.parsing[y, x] == part) for x, y in places) / len(places)
    assert all(right[part] / count > 0.85 for part in PLACES), right


def test_a_pixel_is_of_the_part_that_most_of_its_samples_show():
    rng = np.random.default_rng(0)
    shape = 128 * SUPERSAMPLE, 64 * SUPERSAMPLE
    parts = rng.integers(7, size=shape).astype(np.uint8)
    depth = np.where(rng.random(shape) < 0.3, -np.inf, 0.0)
    found = commonest(parts, depth)
    for row, column in rng.integers((128, 64), size=(300, 2)):
        window = np.s_[row * SUPERSAMPLE : (row + 1) * SUPERSAMPLE, column * SUPERSAMPLE : (column + 1) * SUPERSAMPLE]
        counts = Counter(parts[window][depth[window] == 0].tolist())
        best = [part for part, count in counts.items() if count == max(counts.values())]
        assert found[row, column] == (min(best) if best else 0)


def test_label_maps_stand_beside_a_data_set(tmp_path):
    """Written with it or later, one of each picture, and read by nobody who does not ask."""
    sizes = {"seed": 5, "train_pids": 1, "test_pids": 2, "workers": 1, "shots": 1}
    whole, later = tmp_path / "whole", tmp_path / "later"
    write_layout("market1501", whole, masks=True, **sizes)
    write_layout("market1501", later, **sizes)
    assert not (later / "masks").exists()
    before = {path: path.read_bytes() for path in later.rglob("*.jpg")}
    write_layout("market1501", later, masks=True, **sizes)
    assert all(path.read_bytes() == content for path, content in before.items())
    names = {path.relative_to(whole).with_suffix("") for path in whole.rglob("*.jpg")}
    for root in (whole, later):
        assert {path.relative_to(root / "masks").with_suffix("") for path in (root / "masks").rglob("*.png")} == names
    for name in names:
        file = f"masks/{name}.png"
        assert (whole / file).read_bytes() == (later / file).read_bytes()
        with Image.open(whole / file) as picture:
            labels = np.array(picture)
            assert picture.mode == "P" and labels.shape == (128, 64) and set(np.unique(labels)) <= set(range(7))
        assert 0.05 < (labels > 0).mean() < 0.6 or str(name).split("/")[1].startswith("-1")
    assert len(build_dataset("market1501", whole).query) == len(list((whole / "query").iterdir()))


def test_label_maps_are_cut_and_shifted_with_their_pictures(tmp_path):
    write_layout(
        "partial_reid", tmp_path / "partial", seed=2, train_pids=0, test_pids=1, workers=1, shots=2, masks=True
    )
    write_layout("cuhk03", tmp_path / "cuhk03", seed=2, train_pids=0, test_pids=1, workers=1, shots=1, masks=True)
    pictures = [*tmp_path.rglob("*.jpg"), *(tmp_path / "cuhk03").glob("[ld]*/**/*.png")]
    assert len(pictures) > 8
    for path in pictures:
        root = tmp_path / path.relative_to(tmp_path).parts[0]
        with (
            Image.open(path) as picture,
            Image.open((root / "masks" / path.relative_to(root)).with_suffix(".png")) as mask,
        ):
            assert mask.size == picture.size
    cut = np.array(Image.open(tmp_path / "partial/masks/partial_body_images/001_001.png"))
    assert len(cut) < 128 and cut.any()
    labeled, detected = (
        np.array(Image.open(next((tmp_path / f"cuhk03/masks/{form}/query").iterdir())))
        for form in ("labeled", "detected")
    )
    shifts = [(y, x) for y in range(-8, 9) for x in range(-4, 5)]
    assert any(np.array_equal(np.roll(labeled, shift, (0, 1)), detected) for shift in shifts)
