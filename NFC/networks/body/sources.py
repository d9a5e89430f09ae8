"""Where points of original pictures are read from: a folder of keypoint files, or a file of lines."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from pose2id.errors import UserError
from pose2id.reading.text import mapping, number_rows, path_text, read_json_lines

from ..blocks.prompts import find_keypoint_file, is_generated, read_people
from .points import POINTS, from_coco, nobody, resized

COCO = 17


class Source(Protocol):
    """Called with the path of an original picture and its (height, width): points (18, 3), or None for no such."""

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


def read_points(source: Source, picture: Path, shown: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """Points (18, 3) float32 of a picture of `shown`, (height, width), in pixels of the same resized to `size`.

    All are missing for a generated picture and for one that the source lacks; a damaged source raises `UserError`.
    """
    points = None if is_generated(picture) else source(picture, shown)
    return nobody(1, torch.zeros(1))[0] if points is None else resized(points, shown, size)
