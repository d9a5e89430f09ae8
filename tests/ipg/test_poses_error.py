import numpy as np
import pytest
from PIL import Image

from IPG.poses import to_pixels
from IPG.poses.accuracy import accuracy_on_world
from IPG.poses.error import figure_height, joint_errors, pose_errors, share_within
from NFC.datasets.synthetic import View, World


def test_errors_against_a_naive_reference():
    rng = np.random.default_rng(0)
    wanted, found = rng.uniform(0, 100, (2, 5, 18, 3))
    wanted[..., 2] = rng.random((5, 18)) > 0.3
    errors = joint_errors(found, wanted)
    for n in range(5):
        there = [wanted[n, j] for j in range(18) if wanted[n, j, 2]]
        height = max(p[1] for p in there) - min(p[1] for p in there)
        for j in range(18):
            if wanted[n, j, 2]:
                dx, dy = found[n, j, :2] - wanted[n, j, :2]
                assert errors[n, j] == pytest.approx((dx**2 + dy**2) ** 0.5 / height)
            else:
                assert np.isnan(errors[n, j])
    counted = [e for e in errors.ravel() if e == e]
    assert share_within(errors, 0.5) == pytest.approx(sum(e <= 0.5 for e in counted) / len(counted))


def test_nobody_has_no_height_and_no_share():
    assert np.isnan(figure_height(np.zeros((18, 3))))
    assert np.isnan(share_within(joint_errors(np.ones((18, 3)), np.zeros((18, 3)))))


def test_generated_pictures_are_compared_at_their_own_size(tmp_path, standing):
    paths = []
    for number, size in enumerate([(64, 128), (128, 256), (100, 100)]):
        paths.append(tmp_path / f"{number}.png")
        Image.new("RGB", size).save(paths[-1])
    off = {"0": 0.0, "1": 0.05, "2": 0.2}  # in picture heights

    def estimator(names, pictures):
        moved = []
        for name, picture in zip(names, pictures, strict=True):
            points = to_pixels(standing, (picture.height, picture.width))
            points[:, 1] += off[name.split("/")[-1][0]] * picture.height
            moved.append(points)
        return moved

    errors = pose_errors(estimator, paths, [standing] * 3, batch_size=2)
    height = standing[:, 1].max() - standing[:, 1].min()
    np.testing.assert_allclose(errors, np.repeat([[0], [0.05], [0.2]], 18, axis=1) / height, atol=1e-9)
    assert share_within(errors) == pytest.approx(2 / 3)


def test_accuracy_of_one_who_knows_and_of_one_who_does_not():
    world = World(11)

    def knows(names, pictures, shift=0.0):
        points = [world.shoot(View(int(name), int(name) % 20, 0)).keypoints.astype(float) for name in names]
        return [p + np.array([shift - 0.5, -0.5, 0]) for p in points]

    scores = accuracy_on_world(knows, seed=11, people=4)
    assert all(share == 1 for shares in scores.values() for share in shares.values())
    assert scores.keys() == {"visible", "infrared", "occluded", "hidden"}
    scores = accuracy_on_world(lambda names, pictures: knows(names, pictures, 7.0), seed=11, people=4)
    assert {(s["pck0.05"], s["pck0.1"]) for s in scores.values()} == {(0.0, 1.0)}
