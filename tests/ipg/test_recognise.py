"""Pose pictures that are not as they should be are recognised, others are not."""

import hashlib

import numpy as np
import pytest
from PIL import Image

from IPG.poses import draw_skeleton, read_keypoints, read_pose_picture, to_pixels
from IPG.poses.recognise import looks_swapped, remarks
from pose2id.presets import load_preset
from pose2id.resources import STANDARD_POSES


def drawn(keypoints: np.ndarray, size: tuple[int, int], preset: str) -> Image.Image:
    return Image.fromarray(draw_skeleton(to_pixels(keypoints, size), size, load_preset(preset).skeleton))


@pytest.mark.parametrize("preset", ["sd15", "mini"])
@pytest.mark.parametrize("size", [(128, 64), (512, 256)])
def test_exchanged_channels(preset, size):
    rng = np.random.default_rng(0)
    for keypoints in read_keypoints(STANDARD_POSES / "keypoints.json").values():
        keypoints[:, :2] += rng.normal(0, 0.01, (18, 2))
        keypoints[rng.integers(0, 18, 2), 2] = 0
        picture = drawn(keypoints, size, preset)
        assert not looks_swapped(picture) and remarks(picture) == []
        assert looks_swapped(Image.merge("RGB", picture.split()[::-1]))


def test_the_standard_poses():
    for path in sorted(STANDARD_POSES.glob("*.png")):
        assert not looks_swapped(read_pose_picture(path, "bgr")) and looks_swapped(read_pose_picture(path, "rgb"))
        assert remarks(read_pose_picture(path)) == []


def test_what_is_odd_is_said(standing):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (128, 64, 3), dtype=np.uint8))
    one = np.asarray(drawn(standing, (128, 64), "sd15"))
    white = Image.fromarray(np.where(one.any(axis=2, keepdims=True), one, 255).astype(np.uint8))
    assert remarks(Image.new("RGB", (64, 128))) == ["is empty"]
    assert remarks(white) == ["lies on a bright ground, not on black"]
    assert remarks(noise) == ["shows no skeleton in the colours of OpenPose"]
    assert remarks(Image.fromarray(np.hstack([one, one, one]))) == [
        "is wider than high (192 x 128) and will be squeezed",
        "shows several people",
    ]
    assert not any(map(looks_swapped, (noise, white, Image.new("RGB", (64, 128)), Image.new("RGB", (1, 1)))))


def test_sd15_is_lit_as_the_released_poses_are():
    """11.8 % of the pixels of the released eight are lit; ours for the mini preset 8.3 %, unchanged."""
    lit = {}
    for preset in ("sd15", "mini"):
        poses = read_keypoints(STANDARD_POSES / "keypoints.json")
        pictures = [np.asarray(drawn(keypoints, (128, 64), preset)) for keypoints in poses.values()]
        lit[preset] = np.mean([(picture.max(axis=2) > 20).mean() for picture in pictures])
    assert abs(lit["sd15"] - 0.118) < 0.004 and abs(lit["mini"] - 0.083) < 0.004


def test_mini_draws_as_it_was_trained():
    digest = hashlib.sha256()
    for size in ((128, 64), (256, 128)):
        for keypoints in read_keypoints(STANDARD_POSES / "keypoints.json").values():
            digest.update(np.asarray(drawn(keypoints, size, "mini")).tobytes())
    assert digest.hexdigest() == "c39b90aed1edf08e03678e52c1c71ce70377023e034c862fc30344a59688cd60"
