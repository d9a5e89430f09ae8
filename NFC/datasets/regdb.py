"""RegDB: visible and thermal pictures of 412 people, in ten trials of 206 training and 206 test people.

`{Visible, Thermal}/<pid>/*.bmp` and `idx/{train,test}_{visible,thermal}_{1..10}.txt` with lines
`Visible/1/male_front_v_00001_1.bmp 0`. The number in a list counts the people of its trial; the pid is the folder's,
which is the same in all trials. Visible pictures have camera 0, thermal ones camera 1, so that none is excluded.
"""

from pathlib import Path

from pose2id.errors import UserError

from .base import Dataset, Record, Trial
from .disk import parse_pid, read_list

ALL = "all"
TRIALS = range(1, 11)
CAMERAS = {"visible": 0, "thermal": 1}
OPTIONS = {
    "direction": ("visible_to_thermal", "thermal_to_visible"),
    "trial": (ALL, *TRIALS),
}
PUBLISHED = {"train": (4_120, 206), "query": (2_060, 206), "gallery": (2_060, 206)}


def read_regdb(root: Path, direction: str, trial: str | int) -> Dataset:
    """Queries of the first modality of `direction`, gallery of the second, in `trial` or in all ten.

    Officially a network is trained for each trial; `train` is therefore that of the one `trial` asked for, and empty
    for "all". `UserError` for a missing list or picture, and for labels that do not tell people apart as folders do.
    """
    numbers = TRIALS if trial == ALL else [trial]
    sides = direction.split("_to_")
    query, gallery = ([_read(root, "test", modality, number) for number in numbers] for modality in sides)
    for number, asked, ranked in zip(numbers, query, gallery, strict=True):
        _check_labels({**asked, **ranked}, f"trial {number} of {root}")
    queries, pictures = _join(query), _join(gallery)
    return Dataset(
        name="regdb",
        root=root,
        train=() if trial == ALL else _join([_read(root, "train", modality, trial) for modality in CAMERAS]),
        query=queries,
        gallery=pictures,
        trials=[
            Trial(_places(asked, queries), _places(ranked, pictures))
            for asked, ranked in zip(query, gallery, strict=True)
        ],
        infrared=frozenset({CAMERAS["thermal"]}),
        folders={root / modality.capitalize(): 1 for modality in CAMERAS},
        published=PUBLISHED if trial != ALL else {split: PUBLISHED[split] for split in ("query", "gallery")},
    )


def _read(root: Path, split: str, modality: str, trial: int) -> dict[Record, int]:
    """The pictures of one list with their labels."""
    folder = root / modality.capitalize()
    records = {}
    for path, label in read_list(root / "idx" / f"{split}_{modality}_{trial}.txt", root, "regdb"):
        if path.parent.parent != folder:
            raise UserError(f"regdb: {split}_{modality}_{trial}.txt names {path}; expected {folder}/<pid>/<picture>")
        pid = parse_pid(path.parent.name, f"regdb: the folder of {path}")
        records[Record(path, pid, CAMERAS[modality], folder)] = label
    return records


def _check_labels(labels: dict[Record, int], where: str) -> None:
    pairs = {(record.pid, label) for record, label in labels.items()}
    people, numbers = ({pair[side] for pair in pairs} for side in (0, 1))
    if not len(pairs) == len(people) == len(numbers):
        raise UserError(f"regdb: the labels in the lists of {where} do not belong to one folder each; unpack them anew")


def _join(lists: list[dict[Record, int]]) -> list[Record]:
    """All pictures of the lists, each once, sorted by path."""
    return sorted({record for entries in lists for record in entries}, key=lambda record: record.path)


def _places(entries: dict[Record, int], records: list[Record]) -> list[int]:
    return [place for place, record in enumerate(records) if record in entries]
