"""What is known about the pose of each picture of a data set, as JSON lines."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pose2id.errors import UserError
from pose2id.files import write_text


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
    def from_line(cls, line: str) -> "PoseRecord":
        """Raises ValueError, KeyError or TypeError for a line that is not whole."""
        row = json.loads(line)
        width, height = row["size"]
        keypoints = np.array(row["keypoints"], dtype=np.float64)
        if keypoints.shape != (18, 3):
            raise ValueError(f"keypoints of shape {keypoints.shape}, expected (18, 3)")
        return cls(row["path"], int(width), int(height), float(row["sharpness"]), keypoints)


def read_records(path: str | Path, partial: bool = False) -> list[PoseRecord]:
    """The records of a file of JSON lines; `UserError` names a line that is wrong.

    partial: the file is that of a process that may have been killed, whose last line may be cut.
    """
    records = []
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read poses {path}: {error}; write them with `pose2id poses prepare`") from error
    for number, line in enumerate(lines, start=1):
        try:
            records.append(PoseRecord.from_line(line))
        except (ValueError, KeyError, TypeError) as error:
            if partial and number == len(lines):
                break
            raise UserError(f"{path}, line {number} holds no pose: {error}") from error
    return records


def write_records(path: str | Path, records: Iterable[PoseRecord]) -> None:
    write_text(path, "".join(record.to_line() for record in records))


def read_kept(path: str | Path) -> set[str]:
    """The paths that a cleaning list keeps: lines of {"path", "kept", "reasons"}, as `prepare_poses.py` writes them."""
    try:
        rows = [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]
        return {row["path"] for row in rows if row["kept"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is no cleaning list: {error}; write it with `pose2id poses prepare`") from error
