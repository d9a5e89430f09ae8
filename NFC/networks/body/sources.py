"""Where points of pictures are read from: keypoint files or a file of lines; of generated pictures, their poses."""

import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from pose2id.errors import UserError, printable
from pose2id.reading.listing import natural_key
from pose2id.reading.text import mapping, number_rows, path_text, read_json, read_json_lines

from ..blocks.prompts import find_keypoint_file, read_people
from .points import POINTS, from_coco

COCO = 17


class Source(Protocol):
    """Called with the path of a picture and its (height, width): points (18, 3) in its pixels, or None for no such."""

    def __call__(self, picture: Path, size: tuple[int, int]) -> Tensor | None: ...


@dataclass(frozen=True)
class KeypointFolder:
    """KPR's files, `<split>/<picture>_keypoints.json`, of which the person who is meant counts."""

    folder: Path

    def __call__(self, picture: Path, size: tuple[int, int]) -> Tensor | None:
        file = find_keypoint_file(self.folder, picture)
        people = read_people(file, size) if file else []
        return from_coco(torch.from_numpy(people[0]).float()) if people else None


@dataclass(frozen=True)
class KeypointLines:
    """The `keypoints.jsonl` of `pose2id poses prepare`: points (18, 3) by the path of a picture in its data set."""

    points: dict[str, np.ndarray]

    def __call__(self, picture: Path, size: tuple[int, int]) -> Tensor | None:
        parts = picture.parts
        ends = ("/".join(parts[first:]) for first in range(len(parts)))
        found = next((self.points[end] for end in ends if end in self.points), None)
        return None if found is None else torch.from_numpy(found).float()


@dataclass(frozen=True)
class PoseKeypoints:
    """Of generated pictures, `<split>_gen/pose{k}/<name>`: the points of the skeletons that they were drawn in.

    poses: (K, 18, 3) of x, y in 0..1 and confidence, in the order of their numbers k.
    """

    path: Path
    poses: np.ndarray

    def __call__(self, picture: Path, size: tuple[int, int]) -> Tensor | None:
        number = pose_number(picture)
        if not 1 <= number <= len(self.poses):
            raise UserError(
                f"{printable(picture)} is of no pose 1 to {len(self.poses)}, which {printable(self.path)} knows; name "
                "the keypoints of the poses that it was drawn in"
            )
        points = self.poses[number - 1].copy()
        points[:, :2] = points[:, :2] * size[::-1] - 0.5
        return torch.from_numpy(points * (points[:, 2:] > 0)).float()


def pose_number(picture: Path) -> int:
    """The k of the folder `pose{k}` directly in that of a split's generated pictures; 0 where there is none."""
    names = [parent.name for parent in picture.parents]
    inside = [name for name, above in pairwise(names) if above.endswith("_gen")]
    found = re.fullmatch(r"pose(\d{1,9})", inside[0]) if inside else None
    return int(found[1]) if found else 0


def pose_keypoints(place: str | Path) -> PoseKeypoints:
    """Of `keypoints.json` in a folder of pose pictures, or that file: name of a pose -> 18 keypoints in 0..1.

    `pose{k}` is the k-th of the names, as it is the k-th of the pictures. `UserError` for what is no such file.
    """
    path = Path(place) / "keypoints.json" if Path(place).is_dir() else Path(place)
    where = f"{printable(path)} is no file of poses"
    poses = mapping(read_json(path, "keypoints of poses", "name a folder like standard_poses"), where)
    rows = [number_rows(poses[name], f"{where}: '{name:.50}'") for name in sorted(poses, key=_natural)]
    if not rows or any(len(points) != POINTS for points in rows):
        raise UserError(f"{where}: expected {{name: {POINTS} keypoints}}, as in standard_poses/keypoints.json")
    return PoseKeypoints(path, np.stack(rows))


def _natural(name: str) -> tuple:
    return natural_key(Path(name))


def keypoint_source(path: str | Path) -> Source:
    """The source at `path`, a folder or a file of lines; `UserError` where there is none, or nothing in it."""
    path = Path(path)
    if path.is_file():
        return KeypointLines(_read_lines(path))
    if not path.is_dir():
        raise UserError(f"keypoint folder {path} does not exist: check the path")
    if next(path.glob("*/*_keypoints.json"), None) is None:
        raise UserError(f"{path} holds no keypoint files <split>/<picture>_keypoints.json: check the path")
    return KeypointFolder(path)


def _read_lines(path: Path) -> dict[str, np.ndarray]:
    found = {}
    for where, row in read_json_lines(path, "keypoints"):
        row = mapping(row, where, "path", "keypoints")
        points = number_rows(row["keypoints"], where)
        if len(points) not in (POINTS, COCO):
            raise UserError(f"{where}: {len(points)} keypoints, expected {POINTS} (OpenPose) or {COCO} (COCO)")
        points = from_coco(torch.from_numpy(points)).numpy() if len(points) == COCO else points
        found[path_text(row["path"], where).removeprefix("./")] = points.astype(np.float32)
    return found
