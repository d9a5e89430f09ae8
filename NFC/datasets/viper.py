"""VIPeR: 632 people, a picture of each in `<root>/cam_a/000_45.bmp` and one in `cam_b`, named after person and angle.

Ten random halves of the people are for the test, the others for training; every half is searched in both directions,
query by camera a in the gallery of b and the other way round. That makes 20 trials. The halves are our own draw
(`halves.py`), as everybody's are. The two pictures of a person are by different cameras, so that none is excluded.
"""

from pathlib import Path

from pose2id.errors import UserError

from .base import Dataset, Record, Trial
from .disk import list_pictures, parse_pid
from .halves import ALL, draw_test_half, split_numbers

CAMERAS = ("cam_a", "cam_b")  # camera 0, camera 1
PUBLISHED = {"train": (632, 316), "query": (316, 316), "gallery": (316, 316)}


def read_viper(root: Path, split: str | int) -> Dataset:
    """Read both folders: the two trials of half `split` with its training people, or all 20 without training.

    Query and gallery hold the same pictures, and each trial the half of them by one camera.
    `UserError` for a missing folder, a name without pid, and for somebody whom one camera alone has seen.
    """
    records = [record for camid in range(len(CAMERAS)) for record in _read_camera(root, camid)]
    pids = {record.pid for record in records}
    halves = [draw_test_half(pids, number) for number in split_numbers(split)]
    train = [] if split == ALL else [record for record in records if record.pid not in halves[0]]
    tested = records if split == ALL else [record for record in records if record.pid in halves[0]]
    _check_pairs(records, root)
    return Dataset(
        name="viper",
        root=root,
        train=train,
        query=tested,
        gallery=tested,
        trials=[
            Trial(_places(tested, half, camid), _places(tested, half, 1 - camid)) for half in halves for camid in (0, 1)
        ],
        published={name: counts for name, counts in PUBLISHED.items() if name != "train" or split != ALL},
        folders={root / name: 0 for name in CAMERAS},
    )


def _read_camera(root: Path, camid: int) -> list[Record]:
    return [
        Record(path, parse_pid(path.name.split("_")[0], f"viper: the name of {path}"), camid)
        for path in list_pictures(root / CAMERAS[camid], "viper")
    ]


def _check_pairs(records: list[Record], root: Path) -> None:
    seen: dict[int, Record] = {}
    cameras: dict[int, set[int]] = {}
    for record in records:
        seen[record.pid] = record
        cameras.setdefault(record.pid, set()).add(record.camid)
    for pid, camids in cameras.items():
        if len(camids) < len(CAMERAS):
            other = root / CAMERAS[1 - seen[pid].camid]
            raise UserError(
                f"viper: {seen[pid].path} has no picture of its person in {other}; is the data set complete?"
            )


def _places(records: list[Record], pids: frozenset[int], camid: int) -> list[int]:
    return [place for place, record in enumerate(records) if record.pid in pids and record.camid == camid]
