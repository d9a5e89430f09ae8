"""The 17 keypoints of COCO, which ViTPose gives, and the 18 of OpenPose, which the pose guider is used to."""

import numpy as np
from numpy.typing import ArrayLike

from .skeleton import KEYPOINT_NAMES

COCO_NAMES = (
    *("nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder"),
    *("left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip"),
    *("left_knee", "right_knee", "left_ankle", "right_ankle"),
)
NECK, RIGHT_SHOULDER, LEFT_SHOULDER = (KEYPOINT_NAMES.index(n) for n in ("neck", "right_shoulder", "left_shoulder"))
# Row of COCO for each row of OpenPose but the neck, and back.
_COCO_ROWS = [COCO_NAMES.index(name) for name in KEYPOINT_NAMES if name != "neck"]
_OPENPOSE_ROWS = [KEYPOINT_NAMES.index(name) for name in COCO_NAMES]


def openpose_from_coco(keypoints: ArrayLike) -> np.ndarray:
    """(..., 17, 3) of x, y, confidence -> (..., 18, 3): the neck is the middle of the shoulders, as sure as the less
    sure of the two."""
    points = np.asarray(keypoints, dtype=np.float64)
    points = np.insert(points[..., _COCO_ROWS, :], NECK, 0, axis=-2)
    shoulders = points[..., [RIGHT_SHOULDER, LEFT_SHOULDER], :]
    points[..., NECK, :2] = shoulders[..., :2].mean(axis=-2)
    points[..., NECK, 2] = shoulders[..., 2].min(axis=-1)
    return points


def coco_from_openpose(keypoints: ArrayLike) -> np.ndarray:
    """(..., 18, 3) -> (..., 17, 3): the neck is left out."""
    return np.asarray(keypoints)[..., _OPENPOSE_ROWS, :]
