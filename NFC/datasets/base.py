"""What every data set gives: lists of records for training, query and gallery, and its own rules."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import UserError


@dataclass(frozen=True)
class Record:
    """One picture: where it lies, whom it shows, which camera took it (from 0)."""

    path: Path
    pid: int
    camid: int


@dataclass(frozen=True)
class Dataset:
    """A benchmark as read from disk; every list is sorted by file name.

    `distractors` are the pids of gallery pictures that show nobody in particular: they are ranked, but have no
    identity density.
    """

    name: str
    root: Path
    train: Sequence[Record]
    query: Sequence[Record]
    gallery: Sequence[Record]
    distractors: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        for split in ("query", "gallery"):
            if not getattr(self, split):
                raise UserError(f"{self.name} at {self.root}: the {split} holds no pictures")


def require_folder(path: Path, dataset: str) -> Path:
    """`path`, if it is a folder; else one line saying what the data set expects."""
    if not path.is_dir():
        raise UserError(f"{dataset}: folder {path} does not exist; expected the data set's layout under {path.parent}")
    return path


def generated_paths(record: Record, poses: int) -> list[Path]:
    """The `poses` generated pictures of a record: `<split>_gen/pose1..poseM/<same file name>`. They need not exist."""
    folder = record.path.parent
    return [folder.with_name(f"{folder.name}_gen") / f"pose{k}" / record.path.name for k in range(1, poses + 1)]
