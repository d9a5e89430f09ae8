"""Poses that were drawn for one preset, drawn again for another: each was trained on limbs of its own thickness."""

from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from pose2id.errors import UserError
from pose2id.presets import MODEL_CONFIGS, Preset, SkeletonSizes, load_preset

from .skeleton import ChannelOrder, draw_skeleton, read_keypoints, read_pose_picture, to_pixels

ROUNDED = 32  # of 255: by how much rounded points change a pixel at the edge of a limb


def redrawn(path: Path, picture: Image.Image, preset: Preset) -> Image.Image | None:
    """The pose picture `path`, read as `picture`, as `preset` draws it; None where that is to be used as it is.

    It is drawn from the points in `keypoints.json` beside it if it is what another preset draws of them; a picture that
    somebody changed stays as it is.
    """
    points = _points(path.parent / "keypoints.json").get(path.stem)
    if points is None:
        return None
    size = picture.height, picture.width
    wanted = preset.generation.height, preset.generation.width
    if size == wanted and _is_drawing(picture, points, preset.skeleton):
        return None
    if not any(_is_drawing(picture, points, thickness) for thickness in _thicknesses()):
        return None
    return Image.fromarray(draw_skeleton(to_pixels(points, wanted), wanted, preset.skeleton))


def read_pose_for(path: str | Path, preset: Preset, channel_order: ChannelOrder = "bgr") -> Image.Image:
    """The pose picture `path` as it is to be shown to a generator of `preset`. `UserError` if it cannot be read."""
    picture = read_pose_picture(path, channel_order)
    return redrawn(Path(path), picture, preset) or picture


def _is_drawing(picture: Image.Image, points: np.ndarray, thickness: SkeletonSizes) -> bool:
    """Whether it is the drawing of the points, which were rounded when they were written."""
    size = (picture.height, picture.width)
    drawn = draw_skeleton(to_pixels(points, size), size, thickness)
    return bool(np.abs(drawn.astype(np.int16) - np.asarray(picture)).max() <= ROUNDED)


@cache
def _thicknesses() -> list[SkeletonSizes]:
    """Of all presets."""
    return [load_preset(file.stem).skeleton for file in sorted(MODEL_CONFIGS.glob("*.yaml"))]


def _points(file: Path) -> dict[str, np.ndarray]:
    """Name -> keypoints; none where there is no such file, or one that holds something else."""
    try:
        return read_keypoints(file) if file.is_file() else {}
    except UserError:
        return {}
