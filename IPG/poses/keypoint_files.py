"""Keypoints that another program found, read from its files."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from pose2id.errors import UserError

from .coco import openpose_from_coco


class KeypointFiles:
    """Keypoints that another program found: a folder of OpenPose's own files, or one file of JSON lines.

    Folder: `<picture's stem>_keypoints.json` with {"people": [{"pose_keypoints_2d": [x, y, confidence, ...]}]}, of the
    18-keypoint model or of BODY_25; of several people the surest. Lines: {"path": ..., "keypoints": [[x, y,
    confidence], ...]}, 18 rows as OpenPose orders them or 17 as COCO does. All in pixels of the picture.
    Pictures without keypoints get confidence 0 everywhere.
    """

    def __init__(self, source: Path) -> None:
        if not source.exists():
            raise UserError(f"{source} does not exist; give a folder of OpenPose's JSON files or a .jsonl file")
        self.source = source
        self.of_name: Mapping[str, np.ndarray] = {} if source.is_dir() else _read_lines(source)

    def __call__(self, names: Sequence[str], pictures: Sequence[Image.Image]) -> list[np.ndarray]:
        return [self._find(name) for name in names]

    def _find(self, name: str) -> np.ndarray:
        if not self.source.is_dir():
            return self.of_name.get(name, np.zeros((18, 3)))
        file = (self.source / name).with_name(f"{Path(name).stem}_keypoints.json")
        return _read_openpose(file) if file.is_file() else np.zeros((18, 3))


BODY_25_ROWS = [*range(8), *range(9, 19)]  # of the 18: BODY_25 has the middle of the hips in row 8


def _read_openpose(path: Path) -> np.ndarray:
    try:
        people = json.loads(path.read_text())["people"]
        bodies = [np.reshape(person["pose_keypoints_2d"], (-1, 3)).astype(np.float64) for person in people]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is no keypoint file of OpenPose: {error}") from error
    if not bodies:
        return np.zeros((18, 3))
    body = max(bodies, key=lambda points: points[:, 2].sum())
    return _as_openpose(body[BODY_25_ROWS] if len(body) == 25 else body, path)


def _read_lines(path: Path) -> dict[str, np.ndarray]:
    found = {}
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        try:
            row = json.loads(line)
            found[row["path"]] = _as_openpose(np.array(row["keypoints"], np.float64), f"{path}, line {number}")
        except (ValueError, KeyError, TypeError) as error:
            if isinstance(error, UserError):
                raise
            raise UserError(f"{path}, line {number}: no path and keypoints: {error}") from error
    return found


def _as_openpose(points: np.ndarray, where: object) -> np.ndarray:
    if points.shape == (17, 3):
        return openpose_from_coco(points)
    if points.shape != (18, 3):
        raise UserError(f"{where}: keypoints of shape {points.shape}; expected 18 (OpenPose) or 17 (COCO) of x, y, c")
    return points
