"""MSMT17: version 1 has the folders `{train, test}`, version 2 `{mask_train_v2, mask_test_v2}`.

Beside them lie `list_train.txt`, `list_val.txt`, `list_query.txt` and `list_gallery.txt` with lines
`0000/0000_000_01_0303morning_0015_0.jpg 0`: the picture below the folder, and its pid. The camera, 1 to 15, is the
third field of the file name. Training and test pids are separate name spaces: the same number is another person.
"""

from pathlib import Path

from pose2id.errors import UserError

from .base import Dataset, Record
from .disk import read_list

FOLDERS = {"V1": ("train", "test"), "V2": ("mask_train_v2", "mask_test_v2")}
CAMERAS = 15
PUBLISHED = {"train": (32_621, 1_041), "query": (11_659, 3_060), "gallery": (82_161, 3_060)}


def read_msmt17(root: Path) -> Dataset:
    """Read the version that lies in `root`; `train` is the official train and val lists together.

    The training folder may be missing: evaluation does without.
    `UserError` for missing folders or lists, for a picture that is missing and for a foreign name.
    """
    train, test = _find_version(root)
    trained = train.is_dir()
    return Dataset(
        name="msmt17",
        root=root,
        train=_read_lists(root, train, "list_train.txt", "list_val.txt") if trained else [],
        query=_read_lists(root, test, "list_query.txt"),
        gallery=_read_lists(root, test, "list_gallery.txt"),
        published={split: counts for split, counts in PUBLISHED.items() if trained or split != "train"},
        folders=dict.fromkeys((train, test) if trained else (test,), 1),
    )


def _find_version(root: Path) -> tuple[Path, Path]:
    """The folders of training and of test pictures."""
    found = [(root / train, root / test) for train, test in FOLDERS.values() if (root / test).is_dir()]
    if len(found) != 1:
        what = "the folders of both versions" if found else "neither version's folders"
        layouts = " or ".join(f"{train} and {test} ({version})" for version, (train, test) in FOLDERS.items())
        raise UserError(f"msmt17: {root} holds {what}; expected {layouts}")
    return found[0]


def _read_lists(root: Path, folder: Path, *lists: str) -> list[Record]:
    entries = [entry for name in lists for entry in read_list(root / name, folder, "msmt17")]
    return [Record(path, pid, _camera(path), folder) for path, pid in sorted(entries)]


def _camera(path: Path) -> int:
    """The camera of a picture, from 0."""
    field = (path.name.split("_") + [""] * 3)[2]
    if not (field.isascii() and field.isdecimal() and len(field) < 5 and 1 <= int(field) <= CAMERAS):
        raise UserError(
            f"msmt17: {path} has no camera 01 to {CAMERAS} in its name; expected one like "
            "0000_000_01_0303morning_0015_0.jpg"
        )
    return int(field) - 1
