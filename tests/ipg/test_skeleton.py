import json

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from IPG.poses import draw_skeleton, read_keypoints, read_pose_picture, to_pixels, write_keypoints, write_pose_picture
from IPG.poses.skeleton import COLOURS, LIMBS
from pose2id.errors import UserError


def picture_of(keypoints: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return draw_skeleton(to_pixels(keypoints, size), size)


@pytest.mark.parametrize("size", [(128, 64), (512, 256), (100, 41)])
def test_joints_have_their_colour_and_limbs_a_darker_one(standing, size):
    picture = picture_of(standing, size).astype(int)
    assert picture.shape == (*size, 3)
    pixels = to_pixels(standing, size)[:, :2]
    for k in (4, 10, 13):  # wrists and ankles: nothing is drawn over or near them
        x, y = pixels[k].round().astype(int)
        assert np.abs(picture[y, x] - COLOURS[k]).max() <= (5 if size[0] == 512 else 90), k
        assert np.argmax(picture[y, x]) in np.flatnonzero(COLOURS[k] == COLOURS[k].max())
    if size[0] == 512:
        for limb in (7, 8, 10, 11):  # legs
            x, y = pixels[LIMBS[limb]].mean(axis=0).round().astype(int)
            assert np.abs(picture[y, x] - COLOURS[limb] * 0.6).max() <= 2


def draw_naively(pixels: np.ndarray) -> np.ndarray:
    """OpenPose's own way at 512 x 256: whole-pixel ellipses at 0.6 of their colour, then discs of radius 4."""
    picture = np.zeros((512, 256, 3), np.uint8)
    for (a, b), colour in zip(LIMBS, COLOURS, strict=False):
        (xa, ya), (xb, yb) = pixels[a], pixels[b]
        centre, length = ((int((xa + xb) / 2), int((ya + yb) / 2)), np.hypot(xa - xb, ya - yb))
        polygon = cv2.ellipse2Poly(
            centre, (int(length / 2), 4), int(np.degrees(np.arctan2(ya - yb, xa - xb))), 0, 360, 1
        )
        cv2.fillConvexPoly(picture, polygon, (colour * 0.6).tolist())
    for (x, y), colour in zip(pixels, COLOURS, strict=True):
        cv2.circle(picture, (int(x), int(y)), 4, colour.tolist(), thickness=-1)
    return picture


@pytest.mark.parametrize("size", [(128, 64), (256, 128), (512, 256)])
def test_equals_the_naive_drawing_at_every_size(standing, size):
    naive = draw_naively(to_pixels(standing, (512, 256))[:, :2])
    naive = cv2.resize(naive, size[::-1], interpolation=cv2.INTER_AREA).astype(float)
    ours = picture_of(standing, size).astype(float)
    assert np.abs(ours - naive).sum() < 0.25 * naive.sum()  # whole pixels shift its lines by up to one pixel in 512
    assert abs(ours.sum() / naive.sum() - 1) < 0.15


@settings(max_examples=30, deadline=None)
@given(st.sets(st.integers(0, 17)), st.sampled_from(["nan", "confidence"]))
def test_missing_keypoints_take_their_limbs_along(missing, how):
    rng = np.random.default_rng(len(missing))
    keypoints = np.column_stack([rng.uniform(4, [60, 124], (18, 2)), np.ones(18)])
    keypoints[list(missing), slice(0, 2) if how == "nan" else 2] = np.nan if how == "nan" else 0
    picture = draw_skeleton(keypoints, (128, 64))
    moved = keypoints.copy()
    moved[list(missing), :2] = 30 if how == "confidence" else np.nan  # where a missing point lies does not matter
    assert np.array_equal(picture, draw_skeleton(moved, (128, 64)))
    assert picture.any() == (len(missing) < 18)


def test_far_away_and_coinciding_keypoints_are_no_trouble():
    keypoints = np.full((18, 2), 1e12)
    keypoints[9:] = -1e12
    assert draw_skeleton(keypoints, (128, 64)).shape == (128, 64, 3)
    assert draw_skeleton(np.full((18, 2), 20.0), (128, 64)).any()


@pytest.mark.parametrize("shape", [(17, 2), (18, 4), (18,)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match="18"):
        draw_skeleton(np.zeros(shape))


def test_files_hold_colours_blue_first(tmp_path, standing):
    picture = picture_of(standing, (128, 64))
    write_pose_picture(tmp_path / "pose.png", picture)
    assert np.array_equal(cv2.imread(str(tmp_path / "pose.png")), picture)  # read as it is, it looks canonical
    assert np.array_equal(np.asarray(read_pose_picture(tmp_path / "pose.png")), picture)
    assert np.array_equal(np.asarray(read_pose_picture(tmp_path / "pose.png", "rgb")), picture[:, :, ::-1])
    write_pose_picture(tmp_path / "rgb.png", Image.fromarray(picture), "rgb")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "rgb.png")), picture)
    with pytest.raises(ValueError, match="bgr, rgb"):
        read_pose_picture(tmp_path / "pose.png", "grb")


def test_keypoint_files_round_trip(tmp_path, standing):
    path = tmp_path / "keypoints.json"
    lacking = standing.copy()
    lacking[3] = np.nan
    write_keypoints(path, {"pose1": standing, "pose2": lacking})
    poses = read_keypoints(path)
    assert list(poses) == ["pose1", "pose2"]
    np.testing.assert_allclose(poses["pose1"], standing, atol=1e-5)
    assert not poses["pose2"][3].any()


@pytest.mark.parametrize(
    "content", [None, "", "[1]", '{"pose1": 3}', json.dumps({"pose1": [[0, 0, 1]] * 17}), '{"a": "b"}']
)
def test_foreign_keypoint_files_are_refused(tmp_path, content):
    path = tmp_path / "keypoints.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UserError, match=r"keypoints\.json"):
        read_keypoints(path)
