"""Keypoints that another program found, read from its files."""

import posixpath
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from pose2id.errors import UserError
from pose2id.reading.files import fault_of, require_file
from pose2id.reading.text import mapping, number_rows, path_text, read_json, read_json_lines

from .coco import openpose_from_coco


class KeypointFiles:
    """Keypoints that another program found: a folder of OpenPose's own files, or one file of JSON lines.

    Folder: `<picture's stem>_keypoints.json` with {"people": [{"pose_keypoints_2d": [x, y, confidence, ...]}]}, of the
    18-keypoint model or of BODY_25; of several people the surest. Lines: {"path": ..., "keypoints": [[x, y,
    confidence], ...]}, 18 rows as OpenPose orders them or 17 as COCO does. All in pixels of the picture.
    Pictures without keypoints get confidence 0 everywhere.
    """

    def __init__(self, source: Path) -> None:
        self.source = source
        self.of_name: Mapping[str, np.ndarray] = {}
        if not source.is_dir():
            require_file(source, "keypoints", "give a folder of OpenPose's JSON files or a .jsonl file")
            self.of_name = _read_lines(source)

    def __call__(self, names: Sequence[str], pictures: Sequence[Image.Image]) -> list[np.ndarray]:
        found = [self._find(name) for name in names]
        return [np.zeros((18, 3)) if points is None else points for points in found]

    def relative_to(self, root: Path) -> None:
        """Names of lines become paths in the folder of the pictures, as `./` and absolute ones mean the same."""
        self.of_name = {_plain(name, root): points for name, points in self.of_name.items()}

    def lacking(self, names: Sequence[str]) -> list[str]:
        """The names that there are no keypoints of, which is not the same as nobody found in them."""
        if self.source.is_dir():
            return [name for name in names if fault_of(self._file(name)) == "does not exist"]
        return [name for name in names if _plain(name) not in self.of_name]

    def _find(self, name: str) -> np.ndarray | None:
        if not self.source.is_dir():
            return self.of_name.get(_plain(name))
        file = self._file(name)
        return None if fault_of(file) == "does not exist" else _read_openpose(file)

    def _file(self, name: str) -> Path:
        return (self.source / name).with_name(f"{Path(name).stem}_keypoints.json")


def _plain(name: str, root: Path | None = None) -> str:
    """A path without `./` and the like, relative to `root` where it is an absolute one below it."""
    if root is not None and posixpath.isabs(name) and Path(name).is_relative_to(root.resolve()):
        name = Path(name).relative_to(root.resolve()).as_posix()
    return posixpath.normpath(name)


KEY = "pose_keypoints_2d"
BODY_25_ROWS = [*range(8), *range(9, 19)]  # of the 18: BODY_25 has the middle of the hips in row 8


def _read_openpose(path: Path) -> np.ndarray:
    where = f"{path} is no keypoint file of OpenPose"
    people = mapping(read_json(path, "keypoint file"), where, "people")["people"]
    if not isinstance(people, list):
        raise UserError(f"{where}: its people are no list")
    bodies = [number_rows(mapping(person, where, KEY)[KEY], where) for person in people]
    if not bodies:
        return np.zeros((18, 3))
    body = max(bodies, key=lambda points: points[:, 2].sum())
    return _as_openpose(body[BODY_25_ROWS] if len(body) == 25 else body, path)


def _read_lines(path: Path) -> dict[str, np.ndarray]:
    found = {}
    for where, row in read_json_lines(path, "keypoints"):
        row = mapping(row, where, "path", "keypoints")
        name = _plain(path_text(row["path"], where))
        if name in found:
            raise UserError(f"{where} names {name} a second time; remove one of the lines")
        found[name] = _as_openpose(number_rows(row["keypoints"], where), where)
    return found


def _as_openpose(points: np.ndarray, where: object) -> np.ndarray:
    if points.shape == (17, 3):
        return openpose_from_coco(points)
    if points.shape != (18, 3):
        raise UserError(f"{where}: keypoints of shape {points.shape}; expected 18 (OpenPose) or 17 (COCO) of x, y, c")
    return points
