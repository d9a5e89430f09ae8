"""A data set of one's own, from a table or from folders.

A table: `root` is a file `*.csv` (commas) or `*.tsv` (tabs), UTF-8, with a header line. Columns, in any order, others
are ignored:

- `path`: the picture, absolute or relative to the table's folder;
- `pid`: whom it shows, any text;
- `split`: `train`, `query` or `gallery`; the first may be missing;
- `camid` (may be left out): which camera took it, any text.

Folders: `root` holds `query/<pid>/*`, `gallery/<pid>/*` and, if there is one, `train/<pid>/*`.

Labels become integers: if all labels (of pids, or of cameras) are whole numbers such as 17 or 0017, they keep their
value; otherwise they are numbered from 0 in the order of their sorted text. Pids are one name space for all splits.
Gallery pictures with the query's pid and camid are excluded. Without cameras those of query and training pictures are
numbered 0, those of the gallery 1, so that none is; networks are told of no cameras then.

Generated pictures lie as everywhere in `<folder>_gen/pose{k}/`, where `<folder>` is the folder of the split, and for a
table the first folder below the table's that leads to the picture (`a` for `a/b/1.jpg`; the picture's own folder if
it lies elsewhere).
"""

import csv
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from pose2id.errors import UserError

from .base import Dataset, Record
from .disk import list_folders, list_pictures, read_text

SPLITS = ("train", "query", "gallery")
DELIMITERS = {".csv": ",", ".tsv": "\t"}
NEEDED = ("path", "pid", "split")
CAMERA_OF_SPLIT = {"train": "0", "query": "0", "gallery": "1"}


@dataclass(frozen=True)
class Row:
    """One picture with its labels as text; without a camera, nobody noted any."""

    path: Path
    folder: Path
    split: str
    pid: str
    camid: str | None = None


def read_custom(root: Path) -> Dataset:
    """Read the table or the folders at `root`, as the module says.

    `UserError` names the line or folder for missing columns or values, an unknown split, a picture that does not
    exist or occurs twice, and for a split without pictures.
    """
    rows = read_table(root) if root.is_file() else read_folders(root)
    cameras = all(row.camid is not None for row in rows)
    rows = rows if cameras else [replace(row, camid=CAMERA_OF_SPLIT[row.split]) for row in rows]
    pids, camids = number_labels(row.pid for row in rows), number_labels(row.camid for row in rows)
    splits: dict[str, list[Record]] = {split: [] for split in SPLITS}
    for row in sorted(rows, key=lambda row: row.path):
        splits[row.split].append(Record(row.path, pids[row.pid], camids[row.camid], row.folder))
    return Dataset("custom", root if root.is_dir() else root.parent, **splits, cameras=cameras)


def number_labels(labels: Iterable[str]) -> dict[str, int]:
    """Whole numbers keep their value; if one label is anything else, all are numbered from 0 in sorted order."""
    names = sorted(set(labels))
    if all(name.isascii() and name.isdecimal() for name in names):
        return {name: int(name) for name in names}
    return {name: number for number, name in enumerate(names)}


def read_folders(root: Path) -> list[Row]:
    """The pictures of `<root>/<split>/<pid>/`."""
    splits = [split for split in SPLITS if split != "train" or (root / split).is_dir()]
    return [
        Row(path, root / split, split, person.name)
        for split in splits
        for person in list_folders(root / split, "custom")
        for path in list_pictures(person, "custom")
    ]


def read_table(table: Path) -> list[Row]:
    """The lines of a table."""
    if table.suffix.lower() not in DELIMITERS:
        raise UserError(f"custom: {table} is no table; give a .csv or .tsv file, or a folder")
    lines = csv.DictReader(
        read_text(table, "custom").splitlines(), delimiter=DELIMITERS[table.suffix.lower()], skipinitialspace=True
    )
    missing = [column for column in NEEDED if column not in (lines.fieldnames or ())]
    if missing:
        raise UserError(f"custom: {table} lacks the columns {', '.join(missing)}; its first line must name them")
    rows: dict[Path, Row] = {}
    for line in lines:
        where = f"custom: line {lines.line_num} of {table}"
        row = _read_line(line, table.parent, where)
        if row.path in rows:
            raise UserError(f"{where} names {row.path} a second time; remove one of the lines")
        rows[row.path] = row
    return list(rows.values())


def _read_line(line: dict[str, str | None], parent: Path, where: str) -> Row:
    values = {column: (line[column] or "").strip() for column in (*NEEDED, "camid") if column in line}
    for column, value in values.items():
        if not value:
            raise UserError(f"{where} has no {column}")
    if values["split"] not in SPLITS:
        raise UserError(f"{where} has the split '{values['split']}'; choose one of: {', '.join(SPLITS)}")
    path = parent / values["path"]
    if not path.is_file():
        raise UserError(f"{where} names {path}, which does not exist")
    inside = path.relative_to(parent).parts if path.is_relative_to(parent) else ()
    folder = parent / inside[0] if len(inside) > 1 and ".." not in inside else path.parent
    return Row(path, folder, values["split"], values["pid"], values.get("camid"))
