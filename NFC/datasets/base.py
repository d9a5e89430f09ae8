"""What every data set gives: lists of records for training, query and gallery, and its own rules."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pose2id.errors import UserError
from pose2id.reading.listing import find_left_out

from .rules import Exclude, same_camera


@dataclass(frozen=True)
class Record:
    """One picture: where it lies, whom it shows, which camera took it (from 0).

    `folder` is the folder of its split where that is not the picture's own (nested layouts).
    """

    path: Path
    pid: int
    camid: int
    folder: Path | None = None


@dataclass(frozen=True)
class Trial:
    """One draw of a protocol: indices into `Dataset.query` and `Dataset.gallery`."""

    query: Sequence[int]
    gallery: Sequence[int]


@dataclass(frozen=True)
class Dataset:
    """A benchmark as read from disk, with the rules of its protocol.

    `distractors` are the pids of gallery pictures that show nobody in particular: they are ranked, but have no
    identity density. Scores are means over `trials`; none means one trial with everything. `exclude` says which
    gallery pictures do not exist for a query (see `NFC.datasets.rules`). Where nobody noted `cameras`, camids keep this
    rule from excluding anything, and no network is told of them. `cmc` is "pictures", or "identities" where CMC
    counts each gallery identity once. `infrared` holds the camids of infrared cameras. `published` holds the
    (pictures, pids) of the splits of the whole benchmark, those of query and gallery for one trial, and under "whole"
    those of everything where no split is official; `NFC.datasets.check` compares. `folders` says where the reader
    looked, and how many folders deeper each has its pictures (0: in itself), so that whatever else lies there can be
    told; without them nothing is.
    """

    name: str
    root: Path
    train: Sequence[Record]
    query: Sequence[Record]
    gallery: Sequence[Record]
    distractors: frozenset[int] = frozenset()
    trials: Sequence[Trial] = ()
    exclude: Exclude = same_camera
    cmc: Literal["pictures", "identities"] = "pictures"
    infrared: frozenset[int] = frozenset()
    published: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    folders: Mapping[Path, int] = field(default_factory=dict)
    cameras: bool = True

    def __post_init__(self) -> None:
        for split in ("query", "gallery"):
            if not getattr(self, split):
                left_out = str(find_left_out(self.folders))
                raise UserError(
                    f"{self.name} at {self.root}: the {split} holds no pictures{left_out and f'; {left_out}'}"
                )
            for number, trial in enumerate(self.trials, start=1):
                if not len(getattr(trial, split)):
                    raise UserError(f"{self.name} at {self.root}: the {split} of trial {number} holds no pictures")


def generated_folder(record: Record) -> Path:
    """Where generated pictures of a record's split lie, `<folder>_gen`; need not exist."""
    folder = record.folder or record.path.parent
    return folder.with_name(f"{folder.name}_gen")


def generated_paths(record: Record, poses: int) -> list[Path]:
    """The `poses` generated pictures of a record, `<folder>_gen/pose1..poseM/<path inside folder>`; need not exist."""
    inside = record.path.relative_to(record.folder or record.path.parent)
    return [generated_folder(record) / f"pose{k}" / inside for k in range(1, poses + 1)]
