"""Poses: 18 keypoints, the skeleton pictures drawn from them, and the files that hold either."""

from .redraw import read_pose_for
from .skeleton import (
    CHANNEL_ORDERS,
    KEYPOINT_NAMES,
    draw_skeleton,
    read_keypoints,
    read_pose_picture,
    to_pixels,
    write_keypoints,
    write_pose_picture,
)

__all__ = [
    "CHANNEL_ORDERS",
    "KEYPOINT_NAMES",
    "draw_skeleton",
    "read_keypoints",
    "read_pose_for",
    "read_pose_picture",
    "to_pixels",
    "write_keypoints",
    "write_pose_picture",
]
