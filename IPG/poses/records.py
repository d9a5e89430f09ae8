"""What is known about the pose of each picture of a data set, as JSON lines."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pose2id.errors import UserError
from pose2id.files import write_text
from pose2id.reading.text import mapping, number_rows, path_text, read_json_lines

REMEDY = "write it with `pose2id poses prepare`"
LARGEST_SIDE = 10**6  # of a picture, in pixels


def poses_folder(source: Path) -> Path:
    """Where the poses of a folder of pictures lie unless somebody says otherwise: beside it."""
    return source.with_name(f"{source.resolve().name}_poses")


@dataclass(frozen=True)
class PoseRecord:
    """A picture's pose.

    path: relative to the folder of the data set. width, height: of the picture, in pixels. sharpness: see
    `IPG.poses.clean`. keypoints: (18, 3) float64 of x, y in pixels (pixel centres at whole numbers) and confidence.
    """

    path: str
    width: int
    height: int
    sharpness: float
    keypoints: np.ndarray

    def to_line(self) -> str:
        content = {
            "path": self.path,
            "size": [self.width, self.height],
            "sharpness": round(self.sharpness, 4),
            "keypoints": self.keypoints.round(3).tolist(),
        }
        return json.dumps(content) + "\n"

    @classmethod
    def from_row(cls, row: dict[str, Any], where: str) -> "PoseRecord":
        """The record that a line holds; `where` starts the `UserError` for one that is no pose of a picture."""
        row = mapping(row, where, "path", "size", "sharpness", "keypoints")
        keypoints = number_rows(row["keypoints"], where)
        if len(keypoints) != 18:
            raise UserError(f"{where}: keypoints of shape {keypoints.shape}, expected (18, 3)")
        size = number_rows(row["size"], f"{where}: size", 2)
        if len(size) != 1 or not ((size >= 1) & (size <= LARGEST_SIDE) & (size == size.round())).all():
            raise UserError(f"{where}: its size is {row['size']!r:.50}, not width and height in pixels")
        sharpness = number_rows([row["sharpness"]], f"{where}: sharpness", 1)
        if len(sharpness) != 1:
            raise UserError(f"{where}: its sharpness is {row['sharpness']!r:.50}, not a number")
        path = path_text(row["path"], where)
        return cls(path, int(size[0, 0]), int(size[0, 1]), float(sharpness[0, 0]), keypoints)


def read_records(path: str | Path, partial: bool = False) -> list[PoseRecord]:
    """The records of a file of JSON lines; `UserError` names a line that is wrong.

    partial: the file is that of a process that may have been killed, whose last line may be cut.
    """
    lines = read_json_lines(path, "poses", REMEDY, partial=partial, wrong="holds no pose")
    return [PoseRecord.from_row(row, where) for where, row in lines]


def write_records(path: str | Path, records: Iterable[PoseRecord]) -> None:
    write_text(path, "".join(record.to_line() for record in records))


def read_kept(path: str | Path) -> set[str]:
    """The paths that a cleaning list keeps: lines of {"path", "kept", "reasons"}, as `prepare_poses.py` writes them."""
    kept = set()
    for where, row in read_json_lines(path, "cleaning list", REMEDY, wrong="is no line of a cleaning list"):
        row = mapping(row, where, "path", "kept")
        if row["kept"]:
            kept.add(path_text(row["path"], where))
    return kept
