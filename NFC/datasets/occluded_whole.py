"""The layout that occluded-person data sets share: `{occluded,whole}_body_images/<pid>/<picture>`.

Occluded pictures are queries, whole ones the gallery. Nobody noted cameras: those of the occluded pictures are
numbered 0, those of the whole ones 1, so that no picture is excluded.
"""

from collections.abc import Iterable
from pathlib import Path

from pose2id.errors import UserError

from .base import Record
from .disk import list_people, list_pictures, parse_pid

FOLDERS = ("occluded_body_images", "whole_body_images")  # camera 0, camera 1


def occluded_whole_folders(*parents: Path, names: tuple[str, str] = FOLDERS) -> dict[Path, int]:
    """The folders below `parents`, with pictures one folder deeper (`Dataset.folders`)."""
    return {parent / name: 1 for parent in parents for name in names}


def read_occluded_whole(
    parent: Path, dataset: str, names: tuple[str, str] = FOLDERS
) -> tuple[list[Record], list[Record]]:
    """The occluded and the whole pictures below `parent`, sorted by pid and name; `UserError` for a missing folder."""
    occluded, whole = (
        [
            Record(path, pid, camid, parent / name)
            for pid, folder in list_people(parent / name, dataset).items()
            for path in list_pictures(folder, dataset)
        ]
        for camid, name in enumerate(names)
    )
    return occluded, whole


def check_names(records: Iterable[Record], dataset: str) -> None:
    """`UserError` for a name that does not start with the pid of its folder, where a data set's names do."""
    for record in records:
        start = record.path.name.split("_")[0]
        if parse_pid(start, f"{dataset}: the name of {record.path}") != record.pid:
            raise UserError(f"{dataset}: {record.path} has pid {start} in its name, another than its folder's")
