"""OpenPose skeletons: 18 keypoints drawn as 17 coloured limbs, and the files that hold them.

Pose pictures on disk follow the convention of the released poses: their colours are stored blue
first, so that a file read by OpenCV as it is shows the canonical colours as red, green, blue.
"""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from pose2id.errors import UserError
from pose2id.files import write_text
from pose2id.pictures import read_picture, write_picture
from pose2id.presets import SkeletonSizes
from pose2id.reading.text import mapping, number_rows, read_json

ChannelOrder = Literal["bgr", "rgb"]
CHANNEL_ORDERS = ("bgr", "rgb")

KEYPOINT_NAMES = (
    *("nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist"),
    *("right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle"),
    *("right_eye", "left_eye", "right_ear", "left_ear"),
)
KEYPOINT_ROW = {name: row for row, name in enumerate(KEYPOINT_NAMES)}
# Limb k joins LIMBS[k] and has the colour of COLOURS[k]; keypoint k is a disc of COLOURS[k].
LIMBS = np.array(
    [
        *((1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10)),
        *((1, 11), (11, 12), (12, 13), (1, 0), (0, 14), (14, 16), (0, 15), (15, 17)),
    ]
)
COLOURS = np.array(
    [
        *((255, 0, 0), (255, 85, 0), (255, 170, 0), (255, 255, 0), (170, 255, 0), (85, 255, 0)),
        *((0, 255, 0), (0, 255, 85), (0, 255, 170), (0, 255, 255), (0, 170, 255), (0, 85, 255)),
        *((0, 0, 255), (85, 0, 255), (170, 0, 255), (255, 0, 255), (255, 0, 170), (255, 0, 85)),
    ]
)
KEYPOINT_FILE = "{pose name: 18 rows of x, y in 0..1 and confidence}"

ROWS = 512  # of the picture that `SkeletonSizes` is about
LIMB_OPACITY = 0.6
SUPERSAMPLING = 4
FRACTION_BITS = 4  # OpenCV takes coordinates as fixed-point numbers


@cache
def _unit_circle() -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)  # (32, 2)


def draw_skeleton(
    keypoints: ArrayLike, size: tuple[int, int] = (128, 64), thickness: SkeletonSizes | None = None
) -> np.ndarray:
    """Draw a skeleton in the canonical OpenPose colours on black, anti-aliased.

    keypoints: (18, 2) x, y in pixels of the picture (pixel centres at whole numbers), or (18, 3) with a
        confidence; NaN or a confidence of 0 marks a missing keypoint, whose limbs are left out.
    size: height, width of the picture.
    thickness: a preset's own; None is the 4 rows of 512 of OpenPose itself.
    Returns (height, width, 3) uint8 RGB. Limbs are ellipses at 0.6 of their colour, joints discs on top; both scale
    with the height.
    Raises ValueError when keypoints have another shape.
    """
    points = np.asarray(keypoints, dtype=np.float64)
    if points.shape not in ((18, 2), (18, 3)):
        raise ValueError(f"keypoints must be (18, 2) or (18, 3), got {points.shape}")
    present = np.isfinite(points[:, :2]).all(axis=1)
    if points.shape[1] == 3:
        present &= points[:, 2] > 0
    height, width = (SUPERSAMPLING * side for side in size)
    canvas = np.zeros((height, width, 3), np.uint8)
    thickness = thickness or SkeletonSizes()
    limb_radius, joint_radius = (rows / ROWS * height for rows in (thickness.limb, thickness.joint))
    centres = np.where(present[:, None], (points[:, :2] + 0.5) * SUPERSAMPLING - 0.5, 0)
    limit = 4 * max(height, width)  # far outside points would overflow the fixed-point numbers
    centres = np.clip(centres, -limit, limit)

    start, end = centres[LIMBS[:, 0]], centres[LIMBS[:, 1]]  # (17, 2)
    half = (end - start) / 2
    across = np.stack([-half[:, 1], half[:, 0]], axis=1)
    across *= limb_radius / np.maximum(np.linalg.norm(half, axis=1, keepdims=True), 1e-6)
    circle = _unit_circle()
    ellipses = (start + half)[:, None] + circle[:, :1] * half[:, None] + circle[:, 1:] * across[:, None]  # (17, 32, 2)
    discs = centres[:, None] + joint_radius * circle  # (18, 32, 2)

    for limb in np.flatnonzero(present[LIMBS].all(axis=1)):
        _fill(canvas, ellipses[limb], COLOURS[limb] * LIMB_OPACITY)
    for joint in np.flatnonzero(present):
        _fill(canvas, discs[joint], COLOURS[joint])
    return cv2.resize(canvas, size[::-1], interpolation=cv2.INTER_AREA)


def _fill(canvas: np.ndarray, polygon: np.ndarray, colour: np.ndarray) -> None:
    fixed_point = np.rint(polygon * (1 << FRACTION_BITS)).astype(np.int32)
    cv2.fillConvexPoly(canvas, fixed_point, colour.tolist(), lineType=cv2.LINE_8, shift=FRACTION_BITS)


def read_pose_picture(path: str | Path, channel_order: ChannelOrder = "bgr") -> Image.Image:
    """A skeleton picture file as an RGB picture in canonical colours.

    channel_order: "bgr" for files of the released convention (colours stored blue first), "rgb" for files
    that already look canonical in a picture viewer. Raises `UserError` naming a file that cannot be read.
    """
    picture = read_picture(path)
    return _swap_channels(picture) if _checked(channel_order) == "bgr" else picture


def write_pose_picture(
    path: str | Path, picture: Image.Image | np.ndarray, channel_order: ChannelOrder = "bgr"
) -> None:
    """Write a canonical RGB skeleton (PIL, or (H, W, 3) uint8) so that `read_pose_picture` gives it back."""
    picture = Image.fromarray(picture) if isinstance(picture, np.ndarray) else picture
    write_picture(path, _swap_channels(picture) if _checked(channel_order) == "bgr" else picture)


def _checked(channel_order: str) -> str:
    if channel_order not in CHANNEL_ORDERS:
        raise UserError(f"channel order '{channel_order}' is unknown; choose one of: {', '.join(CHANNEL_ORDERS)}")
    return channel_order


def _swap_channels(picture: Image.Image) -> Image.Image:
    return Image.merge("RGB", picture.split()[::-1])


def to_pixels(keypoints: ArrayLike, size: tuple[int, int]) -> np.ndarray:
    """Keypoints normalised to 0..1, (18, 2 or 3), as `draw_skeleton` takes them for a picture of (height, width)."""
    points = np.array(keypoints, dtype=np.float64)
    points[:, :2] = points[:, :2] * size[::-1] - 0.5
    return points


def read_keypoints(path: str | Path) -> dict[str, np.ndarray]:
    """Poses of a `keypoints.json`: name -> (18, 3) float64 of x, y in 0..1 and confidence.

    Raises `UserError` when the file is missing or holds something else.
    """
    content = mapping(read_json(path, "keypoint file", f"expected {KEYPOINT_FILE}"), f"{path} is no keypoint file")
    poses = {}
    for name, value in content.items():
        where = f"{path} is no keypoint file: '{name:.50}'"
        points = number_rows(value, where)
        if len(points) != 18:
            raise UserError(f"{path}: '{name:.50}' has shape {points.shape}; expected {KEYPOINT_FILE}")
        poses[name] = points
    return poses


def write_keypoints(path: str | Path, poses: Mapping[str, ArrayLike]) -> None:
    """Write name -> (18, 3) of x, y in 0..1 and confidence; missing keypoints (NaN) become 0, 0, 0."""
    content = {}
    for name, points in poses.items():
        points = np.asarray(points, dtype=np.float64)
        content[name] = np.where(np.isfinite(points).all(axis=1, keepdims=True), points, 0).round(5).tolist()
    write_text(path, json.dumps(content, indent=1) + "\n")
