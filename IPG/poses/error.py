"""How far keypoints are from where they should be, in heights of the figure."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike
from tqdm import tqdm

from pose2id.pictures import read_picture

from .estimate import Estimator
from .skeleton import to_pixels


def figure_height(keypoints: ArrayLike) -> np.ndarray:
    """(..., 18, 3) -> (...): from the highest to the lowest joint of a confidence above 0; NaN for none."""
    points = np.asarray(keypoints, dtype=np.float64)
    present = points[..., 2] > 0
    top = np.where(present, points[..., 1], np.inf).min(axis=-1)
    bottom = np.where(present, points[..., 1], -np.inf).max(axis=-1)
    return np.where(present.any(axis=-1), bottom - top, np.nan)


def joint_errors(estimated: ArrayLike, wanted: ArrayLike) -> np.ndarray:
    """Distance of each joint from where it should be, over the height of the wanted figure.

    estimated, wanted: (..., 18, 3) of x, y in pixels and confidence. Returns (..., 18) float64, NaN for a joint that
    is not wanted (confidence 0). The confidence of estimated joints does not matter: where one was not found, the best
    guess counts.
    """
    estimated, wanted = np.asarray(estimated, dtype=np.float64), np.asarray(wanted, dtype=np.float64)
    distances = np.linalg.norm(estimated[..., :2] - wanted[..., :2], axis=-1)
    return np.where(wanted[..., 2] > 0, distances / figure_height(wanted)[..., None], np.nan)


def share_within(errors: ArrayLike, tolerance: float = 0.1) -> float:
    """The share of joints with an error of at most `tolerance`, NaN left out; PCK, the percentage of correct keypoints.

    NaN when no joint counts.
    """
    errors = np.asarray(errors)
    counted = errors[~np.isnan(errors)]
    return float((counted <= tolerance).mean()) if len(counted) else float("nan")


def pose_errors(
    estimator: Estimator, pictures: Sequence[str | Path], wanted: Sequence[ArrayLike], batch_size: int = 64
) -> np.ndarray:
    """Estimate the poses of generated pictures again and compare them with those that they were to show.

    pictures: N files. wanted: for each its (18, 3) keypoints, x, y in 0..1 of the picture, as
    `standard_poses/keypoints.json` holds them. Returns the joint errors, (N, 18).
    `UserError` names a picture that cannot be read.
    """
    rows = []
    for start in tqdm(range(0, len(pictures), batch_size), desc="poses", unit="batch"):
        paths = pictures[start : start + batch_size]
        images = [read_picture(path) for path in paths]
        for image, found, keypoints in zip(
            images, estimator([str(path) for path in paths], images), wanted[start : start + batch_size], strict=True
        ):
            rows.append(joint_errors(found, to_pixels(keypoints, (image.height, image.width))))
    return np.array(rows).reshape(-1, 18)
