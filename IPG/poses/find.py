"""Which pictures poses are wanted of, and whether there are keypoints of them."""

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from NFC.datasets import Dataset
from pose2id.devices import is_first_process
from pose2id.errors import UserError, printable
from pose2id.pictures.below import pictures_below
from pose2id.reading.listing import is_utf8, why_not

from ..splits import split_records
from .keypoint_files import KeypointFiles

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Found:
    """The folder that holds all pictures of a job, their paths in it, sorted, and a line for each that has no name."""

    root: Path
    names: list[str]
    unusable: list[str]


def of_dataset(dataset: Dataset, splits: Sequence[str]) -> Found:
    """The pictures of some splits of a data set."""
    return _found(dataset.root, {record.path for record in split_records(dataset, splits)})


def of_folder(root: Path) -> Found:
    """The pictures in a folder and in those below it; a warning counts what is not read there."""
    return _found(root, pictures_below(root))


def _found(root: Path, paths: Collection[Path]) -> Found:
    if not paths:
        raise UserError(f"{root} holds no pictures to estimate poses of")
    for path in paths:
        if not path.is_relative_to(root):
            raise UserError(f"picture {path} lies outside of {root}; put it there, paths of poses are relative to it")
    names = sorted(path.relative_to(root).as_posix() for path in paths)
    unusable = [f"{printable(root / name)} {why_not(Path(name))}; skipped" for name in names if not is_utf8(name)]
    return Found(root, [name for name in names if is_utf8(name)], unusable)


def check_keypoints(files: KeypointFiles, names: Sequence[str], root: Path) -> None:
    """A warning that counts pictures without keypoints; `UserError` where all are."""
    files.relative_to(root)
    lacking = files.lacking(names)
    if not lacking:
        return
    line = (
        f"{printable(files.source)} has no keypoints of {len(lacking):,} of {len(names):,} pictures of "
        f"{printable(root)}, the first {lacking[0]}"
    )
    if len(lacking) == len(names):
        raise UserError(
            f"{line}; name pictures relative to that folder, in lines of {{path, keypoints}} or as "
            f"{Path(lacking[0]).with_suffix('')}_keypoints.json"
        )
    if is_first_process():
        logger.warning("%s; they count as pictures where nobody was found", line)
