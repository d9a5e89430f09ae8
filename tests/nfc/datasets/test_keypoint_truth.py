"""True keypoints of synthetic data sets: where the pictures show them, whatever a layout does to the pictures."""

import json

import numpy as np
import pytest

from NFC.datasets.partial import SHARES, cut, kept_rows
from NFC.datasets.partial_queries import write_partial_queries
from NFC.datasets.synthetic.layouts import KEYPOINTS, MASKS, write_layout
from NFC.datasets.synthetic.layouts.job import Job
from NFC.datasets.synthetic.layouts.keypoints import write_keypoints
from NFC.datasets.synthetic.world import View, World


@pytest.mark.parametrize("view", [View(3, 1, 0), View(100_004, 2, 5, infrared=True), View(7, 0, 1, occluder="plant")])
def test_keypoints_are_those_of_the_picture(view):
    world = World(11)
    np.testing.assert_array_equal(world.keypoints(view), world.shoot(view).keypoints)


@pytest.mark.parametrize("kind", SHARES)
def test_kept_rows_are_the_rows_that_are_cut(kind):
    rows = np.arange(128, dtype=np.uint8)[:, None, None].repeat(3, axis=2)
    for seed in range(5):
        first, stop = kept_rows(128, kind, np.random.default_rng(seed))
        expected = np.arange(first, stop).clip(0, 127)
        np.testing.assert_array_equal(cut(rows, kind, np.random.default_rng(seed))[:, 0, 0], expected)


def test_a_layout_has_a_line_for_every_picture(tmp_path):
    count = write_layout("market1501", tmp_path, 5, train_pids=1, test_pids=2, keypoints=True)
    lines = [json.loads(line) for line in (tmp_path / KEYPOINTS).read_text().splitlines()]
    assert len(lines) == count == len({line["path"] for line in lines})
    for line in lines:
        assert (tmp_path / line["path"]).is_file() and np.shape(line["keypoints"]) == (18, 3)


def test_points_go_with_moved_and_cut_pictures(tmp_path):
    world, view = World(5), View(2, 1, 0)
    plain = world.keypoints(view)
    jobs = [Job(tmp_path / "moved", view, shift=(0.1, -0.2)), Job(tmp_path / "upper", view, part="upper")]
    write_keypoints(tmp_path, 5, jobs)
    moved, upper = (np.array(json.loads(line)["keypoints"]) for line in (tmp_path / KEYPOINTS).read_text().splitlines())
    seen = plain[:, 2] > 0
    assert (moved[:, 2] > 0).tolist() == seen.tolist()
    np.testing.assert_allclose(moved[seen, 0], (plain[seen, 0] - 12) % 64, atol=0.01)
    np.testing.assert_allclose(moved[seen, 1], (plain[seen, 1] + 12) % 128, atol=0.01)
    height = len(cut(np.zeros((128, 1, 1)), "upper", jobs[1].rng(5)))
    kept = seen & (plain[:, 1] < height)
    assert kept.any() and not kept.all() and (upper[:, 2] > 0).tolist() == kept.tolist()
    np.testing.assert_allclose(upper[kept, :2], plain[kept, :2], atol=0.01)


def test_the_truth_of_whole_queries_is_not_that_of_partial_ones(tmp_path):
    whole, partial = tmp_path / "whole", tmp_path / "partial"
    write_layout("market1501", whole, 5, train_pids=0, test_pids=2, masks=True, keypoints=True)
    write_partial_queries("market1501", whole, partial, "upper")
    assert (whole / KEYPOINTS).is_file() and (whole / MASKS).is_dir()
    assert not (partial / KEYPOINTS).exists() and not (partial / MASKS).exists() and (partial / "query").is_dir()
