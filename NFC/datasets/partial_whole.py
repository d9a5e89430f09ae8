"""The layout of partial-person data sets: a folder of partial and one of whole pictures, named after the person.

Partial pictures are queries, whole ones the gallery. The pid is what comes before the first `_` or `.` of a name.
Nobody noted cameras: those of the queries are numbered 0, those of the gallery 1, so that no picture is excluded.
"""

import re
from pathlib import Path

from .base import Record
from .disk import list_pictures, parse_pid

WHOLE = "whole_body_images"


def read_flat(folder: Path, camid: int, dataset: str) -> list[Record]:
    """The pictures of a folder, sorted by pid and name; `UserError` for a missing folder and a name without pid."""
    records = [
        Record(path, parse_pid(re.split("[_.]", path.name)[0], f"{dataset}: the name of {path}"), camid)
        for path in list_pictures(folder, dataset)
    ]
    return sorted(records, key=lambda record: (record.pid, record.path))
