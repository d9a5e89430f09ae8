"""P-ETHZ: `<root>/{occluded,whole}_body_images/<pid>/<pid>_*.png`, 3,897 pictures of 85 people.

The occluded ones may lie in `partial_body_images` as well, as some who pass them on have named it.

Half of the people are for training, half for the test. Which ones was not published, so the ten halves are our own draw
(`halves.py`): report mean and spread over them, and compare with published figures with care.
"""

from pathlib import Path

from .base import Dataset, Record, Trial
from .halves import ALL, draw_test_half, split_numbers
from .occluded_whole import FOLDERS, check_names, occluded_whole_folders, read_occluded_whole

PARTIAL = ("partial_body_images", FOLDERS[1])
PUBLISHED = {"whole": (3_897, 85)}


def read_p_ethz(root: Path, split: str | int) -> Dataset:
    """Read both folders: the test people of draw `split` and its training people, or ten trials without training.

    `UserError` if a folder is missing, or a name does not start with the pid of its folder.
    """
    names = next((pair for pair in (FOLDERS, PARTIAL) if (root / pair[0]).is_dir()), FOLDERS)
    query, gallery = read_occluded_whole(root, "p_ethz", names)
    check_names([*query, *gallery], "p_ethz")
    pids = {record.pid for record in (*query, *gallery)}
    halves = [draw_test_half(pids, number) for number in split_numbers(split)]
    train: list[Record] = []
    trials: list[Trial] = []
    if split == ALL:
        trials = [Trial(_places(query, half), _places(gallery, half)) for half in halves]
    else:
        (half,) = halves
        train = [record for record in (*query, *gallery) if record.pid not in half]
        query, gallery = ([record for record in side if record.pid in half] for side in (query, gallery))
    folders = occluded_whole_folders(root, names=names)
    return Dataset(
        "p_ethz", root, train, query, gallery, trials=trials, published=PUBLISHED, cameras=False, folders=folders
    )


def _places(records: list[Record], pids: frozenset[int]) -> list[int]:
    return [place for place, record in enumerate(records) if record.pid in pids]
