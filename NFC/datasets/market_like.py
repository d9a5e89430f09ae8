"""The layout of Market1501, which others share: three folders of pictures named after pid and camera."""

import re
from pathlib import Path

from pose2id.errors import UserError

from .base import Dataset, Record
from .disk import list_pictures

JUNK_PID = -1
SPLITS = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}


def read_market_like(
    name: str,
    root: Path,
    pattern: re.Pattern[str],
    example: str,
    published: dict[str, tuple[int, int]],
    distractors: frozenset[int] = frozenset(),
) -> Dataset:
    """Read `<root>/{bounding_box_train, query, bounding_box_test}`; cameras are numbered from 0.

    The training folder may be missing: evaluation does without.

    `pattern` matches the start of a file name, with the pid and the camera from 1 as its groups; `example` is such a
    name. Junk (pid -1) is left out; `distractors` are pids that only the gallery may hold.
    `UserError` for a missing folder or a foreign name.
    """

    def read_name(path: Path) -> Record:
        match = pattern.match(path.name)
        if match is None:
            raise UserError(f"{name}: {path} is not named like {example}; rename or remove it")
        return Record(path, pid=int(match[1]), camid=int(match[2]) - 1)

    folders = {split: root / folder for split, folder in SPLITS.items()}
    if not folders["train"].is_dir():
        del folders["train"]
    splits: dict[str, list[Record]] = {"train": []}
    for split, folder in folders.items():
        splits[split] = [record for record in map(read_name, list_pictures(folder, name)) if record.pid != JUNK_PID]
    for record in (*splits["train"], *splits["query"]):
        if record.pid in distractors:
            raise UserError(f"{name}: {record.path} shows nobody in particular; only the gallery may hold pid 0")
    return Dataset(
        name,
        root,
        **splits,
        distractors=distractors,
        published={split: counts for split, counts in published.items() if split in folders},
        folders=dict.fromkeys(folders.values(), 0),
    )
