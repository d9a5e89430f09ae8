"""Pose files of prepare_poses.py and those of the official kind look the same once read."""

import cv2
import numpy as np
import pytest

from IPG.poses import draw_skeleton, read_pose_picture, to_pixels
from IPG.poses.prepare import prepare
from IPG.poses.settings import PrepareConfig, resolve
from IPG.poses.skeleton import COLOURS, LIMBS
from tests.ipg.test_poses_prepare import write_keypoint_lines, write_pictures

STRAIGHT = [7, 8, 10, 11, 3, 5]  # limbs with nothing near: both legs, the right forearm, the left one


def official_file(path, keypoints):
    """As the released poses: OpenPose's canonical colours, 64 x 128, JPEG, given to OpenCV as they are."""
    cv2.imwrite(str(path), draw_skeleton(to_pixels(keypoints, (128, 64)), (128, 64)))


def prepared_file(tmp_path, keypoints):
    write_pictures(tmp_path / "pictures", {"a.png": (128, 64)})
    lines = write_keypoint_lines(tmp_path / "lines.jsonl", {"a.png": to_pixels(keypoints, (128, 64))})
    config = PrepareConfig(estimator="json", weights=str(lines), picture_dir=str(tmp_path / "pictures"))
    prepare(resolve(config))
    return tmp_path / "pictures_poses/pictures/a.png.png"


def angle(colour: np.ndarray, other: np.ndarray) -> float:
    return float(np.degrees(np.arccos(colour @ other / (np.linalg.norm(colour) * np.linalg.norm(other)))))


@pytest.mark.parametrize("kind", ["prepared", "official"])
def test_limbs_have_the_canonical_colours(tmp_path, standing, kind):
    if kind == "official":
        path = tmp_path / "pose1.jpg"
        official_file(path, standing)
    else:
        path = prepared_file(tmp_path, standing)
    picture = read_pose_picture(path)
    assert picture.size == (64, 128)
    pixels = np.asarray(picture).astype(float)
    ends = to_pixels(standing, (128, 64))[LIMBS, :2]
    for limb in STRAIGHT:
        x, y = ends[limb].mean(axis=0).round().astype(int)
        assert pixels[y, x].max() > 60, limb
        assert angle(pixels[y, x], COLOURS[limb]) < (20 if kind == "official" else 3), limb
        if limb not in (7, 3):  # green, and yellow to green: their mirror colours are too near
            assert angle(pixels[y, x, ::-1], COLOURS[limb]) > 20, limb
    assert np.abs(pixels - draw_skeleton(to_pixels(standing, (128, 64)), (128, 64))).mean() < 4


def test_both_kinds_look_alike(tmp_path, standing):
    official_file(tmp_path / "pose1.jpg", standing)
    official = np.asarray(read_pose_picture(tmp_path / "pose1.jpg")).astype(float)
    prepared = np.asarray(read_pose_picture(prepared_file(tmp_path, standing))).astype(float)
    wrong_order = np.abs(official - prepared[:, :, ::-1]).mean()
    assert np.abs(official - prepared).mean() < 0.6 * wrong_order  # JPEG blurs the colours of thin lines
