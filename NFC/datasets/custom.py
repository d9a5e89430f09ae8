"""A data set of one's own, from a table or from folders.

A table: `root` is a file `*.csv` (commas) or `*.tsv` (tabs), UTF-8, with a header line. Columns, in any order, others
are ignored:

- `path`: the picture, absolute or relative to the table's folder;
- `pid`: whom it shows, any text;
- `split`: `train`, `query` or `gallery`; the first may be missing;
- `camid` (may be left out): which camera took it, any text;
- `distractor` (may be left out): 1 for gallery pictures whose pid shows nobody in particular, as Market1501's 0
  (they are ranked, but have no identity density), 0 or nothing for the others.

Folders: `root` holds `query/<pid>/*`, `gallery/<pid>/*` and, if there is one, `train/<pid>/*`.

Labels become integers: if all labels (of pids, or of cameras) are whole numbers such as 17, 0017 or 17.0, they keep
their value; otherwise they are numbered from 0 in the order of their sorted text. Labels that are the same number are
one. Pids are one name space for all splits; a negative one marks junk, which is left out. Cameras with numbers from
MOST_CAMERAS on, such as dates, are counted from 0 in their order. Gallery pictures with the query's pid and camid are
excluded. Without cameras those of query and training pictures are numbered 0, those of the gallery 1, so that none is;
networks are told of no cameras then.

Generated pictures lie as everywhere in `<folder>_gen/pose{k}/`, where `<folder>` is the folder of the split, and for a
table the first folder below the table's that leads to the picture (`a` for `a/b/1.jpg`; the picture's own folder if
it lies elsewhere).
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pose2id.errors import UserError
from pose2id.reading import text as reading
from pose2id.reading.labels import as_whole, number_labels

from .base import Dataset, Record
from .disk import list_folders, list_pictures, listed_picture

SPLITS = ("train", "query", "gallery")
DELIMITERS = {".csv": ",", ".tsv": "\t"}
NEEDED, OPTIONAL = ("path", "pid", "split"), ("camid", "distractor")
CAMERA_OF_SPLIT = {"train": "0", "query": "0", "gallery": "1"}
MOST_CAMERAS = 1000

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Row:
    """One picture with its labels as text; without a camera, nobody noted any."""

    path: Path
    folder: Path
    split: str
    pid: str
    camid: str | None = None
    distractor: bool = False


def read_custom(root: Path) -> Dataset:
    """Read the table or the folders at `root`, as the module says.

    `UserError` names the line or folder for missing columns or values, an unknown split, a picture that does not
    exist or occurs twice, a pid with two folders in a split, one that is a distractor and is not, and for a split
    without pictures.
    """
    rows = read_table(root) if root.is_file() else read_folders(root)
    cameras = all(row.camid is not None for row in rows)
    rows = rows if cameras else [replace(row, camid=CAMERA_OF_SPLIT[row.split]) for row in rows]
    pids = number_labels((row.pid for row in rows), f"custom: {root}")
    camids = _number_cameras(rows, root)
    splits: dict[str, list[Record]] = {split: [] for split in SPLITS}
    for row in sorted(_without_junk(rows, pids, root), key=lambda row: row.path):
        splits[row.split].append(Record(row.path, pids[row.pid], camids[row.camid], row.folder))
    folders = {} if root.is_file() else {root / split: 1 for split in SPLITS if (root / split).is_dir()}
    place = root if root.is_dir() else root.parent
    distractors = _distractors(rows, pids, root)
    return Dataset("custom", place, **splits, distractors=distractors, cameras=cameras, folders=folders)


def _distractors(rows: Sequence[Row], pids: Mapping[str, int], root: Path) -> frozenset[int]:
    marked = frozenset(pids[row.pid] for row in rows if row.distractor)
    for row in rows:
        if pids[row.pid] in marked and not row.distractor:
            raise UserError(f"custom: pid {row.pid} of {root} is a distractor in some lines and somebody in {row.path}")
    return marked


def _number_cameras(rows: Sequence[Row], root: Path) -> dict[str, int]:
    camids = number_labels((row.camid for row in rows), f"custom: {root}", "camid")
    if all(0 <= camid < MOST_CAMERAS for camid in camids.values()):
        return camids
    places = {camid: place for place, camid in enumerate(sorted(set(camids.values())))}
    return {text: places[camid] for text, camid in camids.items()}


def _without_junk(rows: Sequence[Row], pids: Mapping[str, int], root: Path) -> list[Row]:
    kept = [row for row in rows if pids[row.pid] >= 0]
    if len(kept) < len(rows):
        logger.warning(
            "custom: %d pictures of %s with a negative pid are junk and left out", len(rows) - len(kept), root
        )
    return kept


def read_folders(root: Path) -> list[Row]:
    """The pictures of `<root>/<split>/<pid>/`."""
    splits = [split for split in SPLITS if split != "train" or (root / split).is_dir()]
    rows = []
    for split in splits:
        people: dict[str, Path] = {}
        for person in list_folders(root / split, "custom"):
            other = people.setdefault(as_whole(person.name) or person.name, person)
            if other != person:
                raise UserError(f"custom: folders {other} and {person} are the same pid; remove or join them")
            pictures = list_pictures(person, "custom")
            rows += [Row(path, root / split, split, person.name) for path in pictures]
    return rows


def read_table(table: Path) -> list[Row]:
    """The lines of a table."""
    if table.suffix.lower() not in DELIMITERS:
        raise UserError(f"custom: {table} is no table; give a .csv or .tsv file, or a folder")
    delimiter = DELIMITERS[table.suffix.lower()]
    columns, lines = reading.read_table(table, "custom: file", delimiter, (*NEEDED, *OPTIONAL))
    missing = [column for column in NEEDED if column not in columns]
    if missing:
        raise UserError(f"custom: {table} lacks the columns {', '.join(missing)}; its first line must name them")
    rows: dict[Path, Row] = {}
    for line in lines:
        where = f"custom: line {line.number} of {table}"
        row = _read_line(line.values, table.parent, where)
        if row.path in rows:
            raise UserError(f"{where} names {row.path} a second time; remove one of the lines")
        rows[row.path] = row
    return list(rows.values())


def _read_line(values: Mapping[str, str], parent: Path, where: str) -> Row:
    for column in (*NEEDED, "camid"):
        if column in values and not values[column]:
            raise UserError(f"{where} has no {column}")
    if values["split"] not in SPLITS:
        raise UserError(f"{where} has the split '{values['split']:.80}'; choose one of: {', '.join(SPLITS)}")
    path = listed_picture(parent, values["path"], where)
    inside = path.relative_to(parent).parts if path.is_relative_to(parent) else ()
    folder = parent / inside[0] if len(inside) > 1 and ".." not in inside else path.parent
    distractor = values.get("distractor", "")
    if distractor not in ("", "0", "1") or (distractor == "1" and values["split"] != "gallery"):
        raise UserError(f"{where} has the distractor '{distractor:.80}'; give 1 (in the gallery only), 0 or nothing")
    return Row(path, folder, values["split"], values["pid"], values.get("camid"), distractor == "1")
