"""The classic protocol of CUHK03 (Li et al., CVPR 2014): 20 test sets of 100 people, one gallery picture of each.

Queries are all pictures of the test people by view 1; their galleries are drawn, one picture by view 2 of each person.
How often is not fixed by its authors: ten times a test set, as is common, so that there are 200 trials, whose mean is
the score. Which pictures is our own draw: as only `random.random` is used, which Python promises to keep, it is the
same everywhere. Everybody outside a test set is for training, the 100 people among them whom the authors kept for
validation as well. A pid is 1000 times the pair of cameras and the person of that pair.
"""

import random
from pathlib import Path

from pose2id.errors import UserError

from ..base import Dataset, Record, Trial
from ..disk import list_pictures
from ..halves import ALL
from .release import FILE, FORMS, PICTURE_NAME, find_in_release, find_pictures, read_test_sets

TEST_SETS = range(1, 21)
DRAWS = range(10)  # galleries of each test set
CLASSIC_OPTIONS = {"form": FORMS, "split": (ALL, *TEST_SETS)}
PAIR = 1000


def read_cuhk03_classic(root: Path, form: str, split: str | int) -> Dataset:
    """Read the ten trials of test set `split` with its training people, or all 200 without training.

    `UserError` where pictures or `cuhk-03.mat`, which lists the test sets, are missing, and for foreign names.
    """
    tested = _read_tested(root, split)
    folder = find_pictures(root, form)
    records = [_record(path) for path in list_pictures(folder, "cuhk03_classic")]
    everybody = frozenset().union(*tested.values())
    if lacking := sorted(everybody - {record.pid for record in records}):
        pair, person = divmod(lacking[0], PAIR)
        raise UserError(
            f"cuhk03_classic: {folder} has no picture of person {person} of pair {pair}, who is in a test set; is the "
            "data set complete?"
        )
    query, gallery = ([r for r in records if r.camid == view and r.pid in everybody] for view in (0, 1))
    return Dataset(
        name="cuhk03_classic",
        root=root,
        train=[] if split == ALL else [record for record in records if record.pid not in everybody],
        query=query,
        gallery=gallery,
        trials=[
            Trial(
                [place for place, record in enumerate(query) if record.pid in pids], _draw(gallery, pids, number, draw)
            )
            for number, pids in tested.items()
            for draw in DRAWS
        ],
        folders={folder: 0},
    )


def _record(path: Path) -> Record:
    match = PICTURE_NAME.match(path.name)
    if match is None or int(match[2]) >= PAIR:
        raise UserError(f"cuhk03_classic: {path} is not named like 1_001_1_01.png; rename or remove it")
    return Record(path, PAIR * int(match[1]) + int(match[2]), int(match[3]) - 1)


def _read_tested(root: Path, split: str | int) -> dict[int, frozenset[int]]:
    """The people of each test set that is asked for, by its number."""
    file = find_in_release(root, FILE)
    sets = read_test_sets(file)
    if len(sets) != len(TEST_SETS):
        raise UserError(f"cuhk03_classic: {file} has {len(sets)} test sets instead of {len(TEST_SETS)}; get it again")
    return {
        number: frozenset(PAIR * pair + person for pair, person in people)
        for number, people in zip(TEST_SETS, sets, strict=True)
        if split in (ALL, number)
    }


def _places(records: list[Record], pids: frozenset[int]) -> list[int]:
    return [place for place, record in enumerate(records) if record.pid in pids]


def _draw(gallery: list[Record], pids: frozenset[int], number: int, draw: int) -> list[int]:
    """One of the places of each person, by one random number for each, ascending."""
    people: dict[int, list[int]] = {}
    for place in _places(gallery, pids):
        people.setdefault(gallery[place].pid, []).append(place)
    rng = random.Random(1000 * number + draw)
    return [places[int(rng.random() * len(places))] for _, places in sorted(people.items())]
