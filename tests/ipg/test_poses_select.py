import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from IPG.poses import read_keypoints, read_pose_picture, to_pixels
from IPG.poses.records import PoseRecord
from IPG.poses.select import (
    MISSING,
    SelectConfig,
    k_medoids,
    normalise_poses,
    pose_distances,
    representative_pictures,
    write_poses,
)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.booleans())
def test_representatives_against_a_naive_reference(seed, ties):
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 30))
    feats = rng.integers(-2, 3, (count, 2)).astype(float) if ties else rng.normal(size=(count, 5))
    pids, candidates = rng.integers(-1, 6, count), rng.random(count) < 0.7
    wanted = []
    for pid in sorted(set(pids)):
        mean = feats[pids == pid].mean(axis=0)
        rows = [i for i in range(count) if pids[i] == pid and candidates[i]]
        if rows:
            wanted.append(min(rows, key=lambda i, mean=mean: (round(((feats[i] - mean) ** 2).sum(), 9), i)))
    found = representative_pictures(torch.from_numpy(feats), torch.from_numpy(pids), torch.from_numpy(candidates))
    for row, want in zip(found.tolist(), wanted, strict=True):
        mean = feats[pids == pids[want]].mean(axis=0)
        assert pids[row] == pids[want] and candidates[row]  # of two pictures both are equally near
        assert ((feats[row] - mean) ** 2).sum() == pytest.approx(((feats[want] - mean) ** 2).sum())


def test_normalised_poses_forget_place_and_size(standing):
    points = to_pixels(standing, (128, 64))
    moved = points * [3, 3, 1] + [10, -7, 0]
    first, second = normalise_poses([points, moved])
    np.testing.assert_allclose(first, second, atol=1e-12)
    assert np.ptp(first[:, 1]) == pytest.approx(1)


def test_distances_against_a_naive_reference():
    rng = np.random.default_rng(0)
    poses = rng.normal(size=(6, 18, 3))
    poses[..., 2] = rng.random((6, 18)) > 0.4
    found = pose_distances(poses)
    for a, b in itertools.product(range(6), repeat=2):
        total = 0.0
        for p, q in zip(poses[a], poses[b], strict=True):
            if p[2] and q[2]:
                total += np.hypot(*(p[:2] - q[:2]))
            elif p[2] or q[2]:
                total += MISSING
        assert found[a, b] == pytest.approx(total / 18)


def test_medoids_find_the_best_choice_of_separate_clusters():
    rng = np.random.default_rng(3)
    centres, sizes = np.array([[0, 0], [10, 0], [0, 10]]), (9, 4, 6)
    points = np.concatenate([c + rng.normal(0, 0.5, (n, 2)) for c, n in zip(centres, sizes, strict=True)])
    distances = np.linalg.norm(points[:, None] - points[None], axis=2)
    found = k_medoids(distances, 3)
    best = min(itertools.combinations(range(19), 3), key=lambda rows: distances[:, rows].min(axis=1).sum())
    assert sorted(found) == sorted(best)
    assert [found[0] < 9, found[1] >= 13, 9 <= found[2] < 13] == [True] * 3  # the largest cluster first


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 12), st.integers(0, 1000))
def test_medoids_are_different_items_and_no_swap_within_a_cluster_helps(count, seed):
    rng = np.random.default_rng(seed)
    points = rng.integers(0, 4, (12, 2))  # many lie upon each other
    distances = np.linalg.norm(points[:, None] - points[None], axis=2)
    found = k_medoids(distances, count)
    assert len(set(found.tolist())) == count
    assert found.tolist() == k_medoids(distances, count).tolist()


def test_more_poses_than_there_are_cannot_be_chosen():
    with pytest.raises(ValueError, match="3 of 2"):
        k_medoids(np.zeros((2, 2)), 3)


def test_chosen_poses_are_written_like_the_standard_ones(tmp_path, standing):
    points = to_pixels(standing, (256, 100))
    points[17, 2] = 0.1  # below the confidence: not drawn
    pose = PoseRecord("a.png", 100, 256, 1.0, points)
    write_poses([pose, pose], SelectConfig(out_dir=str(tmp_path)))
    poses = read_keypoints(tmp_path / "keypoints.json")
    assert list(poses) == ["pose1", "pose2"]
    np.testing.assert_allclose(poses["pose1"][:17], standing[:17], atol=1e-4)
    assert not poses["pose1"][17].any()
    assert read_pose_picture(tmp_path / "pose2.png").size == (64, 128)
