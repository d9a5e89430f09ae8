"""Market1501: `<root>/{bounding_box_train, query, bounding_box_test}/0002_c1s1_000451_03.jpg`.

Train 12,936 pictures of 751 pids, query 3,368 of 750, gallery 15,913 of which 2,798 are distractors (pid 0000).
Junk (pid -1, 3,819 pictures of the test folder) is left out.
"""

import re
from pathlib import Path

from ..errors import UserError
from .base import Dataset, Record, require_folder

JUNK_PID = -1
DISTRACTOR_PID = 0
FILE_NAME = re.compile(r"(-?\d+)_c([1-9])s\d+_.*\.jpg", re.IGNORECASE)


def read_market1501(root: Path) -> Dataset:
    """Read the three folders; cameras are numbered from 0. `UserError` for a missing folder or a foreign name."""
    return Dataset(
        name="market1501",
        root=root,
        train=_read_split(root / "bounding_box_train"),
        query=_read_split(root / "query"),
        gallery=_read_split(root / "bounding_box_test"),
        distractors=frozenset({DISTRACTOR_PID}),
    )


def _read_split(folder: Path) -> list[Record]:
    pictures = sorted(p for p in require_folder(folder, "market1501").iterdir() if p.suffix.lower() == ".jpg")
    return [record for record in map(_read_name, pictures) if record.pid != JUNK_PID]


def _read_name(path: Path) -> Record:
    match = FILE_NAME.fullmatch(path.name)
    if match is None:
        raise UserError(f"market1501: {path} is not named like 0002_c1s1_000451_03.jpg; rename or remove it")
    return Record(path, pid=int(match[1]), camid=int(match[2]) - 1)
