"""CUHK03 by its new protocol: 767 training and 700 test people, boxes drawn by hand (labeled) or found (detected).

It lies on disks in two forms:

- as folders like Market1501's, `<root>/{detected,labeled}/{bounding_box_train, query, bounding_box_test}`, with names
  like `0001_c1_1.png`;
- as released, with the pictures taken out of `cuhk-03.mat`: `<root>/images_{detected,labeled}/1_001_1_01.png` (pair of
  cameras, person of that pair, view, picture), and the authors' lists
  `cuhk03_new_protocol_config_{detected,labeled}.mat` in the root or in `cuhk03_release` below it. The camera is the
  view, as in the first form; pids are the lists' labels.

`cuhk-03.mat` itself (HDF5) is not read. The classic protocol, 20 splits of 100 test people, is another and not here.
"""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from pose2id.errors import UserError
from pose2id.reading.mat_files import read_mat

from .base import Dataset, Record
from .disk import listed_picture
from .market_like import read_market_like

OPTIONS = {"form": ("detected", "labeled")}
PUBLISHED = {
    "detected": {"train": (7_365, 767), "query": (1_400, 700), "gallery": (5_332, 700)},
    "labeled": {"train": (7_368, 767), "query": (1_400, 700), "gallery": (5_328, 700)},
}
FILE_NAME = re.compile(r"(\d+)_c([12])_\d+")
RELEASED_NAME = re.compile(r"[1-5]_\d+_([12])_\d+\.")
SPLITS = ("train", "query", "gallery")


def read_cuhk03(root: Path, form: str) -> Dataset:
    """Read the pictures of `form`, in whichever way they lie under `root`.

    The training folder of the first way may be missing: evaluation does without.
    `UserError` for a root that has neither or both, for foreign names, and for lists that do not fit the pictures.
    """
    folders, images = root / form, root / f"images_{form}"
    found = [folder for folder in (folders, images) if folder.is_dir()]
    if len(found) != 1:
        what = "both forms" if found else "neither form"
        raise UserError(
            f"cuhk03: {root} holds {what} of the {form} pictures; expected folders like Market1501's in {form}, or "
            f"pictures taken out of cuhk-03.mat in {images.name} with cuhk03_new_protocol_config_{form}.mat"
        )
    if found == [folders]:
        dataset = read_market_like("cuhk03", folders, FILE_NAME, "0001_c1_1.png", PUBLISHED[form])
        return replace(dataset, root=root)
    splits = _read_released(images, _find_lists(root, f"cuhk03_new_protocol_config_{form}.mat"))
    return Dataset("cuhk03", root, **splits, published=PUBLISHED[form], folders={images: 0})


def _find_lists(root: Path, name: str) -> Path:
    beside, release = root / name, root / "cuhk03_release" / name
    return release if release.is_file() and not beside.exists() else beside


def _read_released(images: Path, lists: Path) -> dict[str, list[Record]]:
    """The records of each split, sorted by path."""
    arrays = read_mat(lists, what="cuhk03: file", text=True)
    names, labels = (_array(arrays, name, kinds, lists) for name, kinds in (("filelist", "U"), ("labels", "iuf")))
    if len(names) != len(labels):
        raise UserError(f"cuhk03: {lists} has {len(names)} names in filelist and {len(labels)} labels; get it again")
    splits: dict[str, list[Record]] = {}
    taken: set[int] = set()
    for split in SPLITS:
        numbers = _array(arrays, f"{split}_idx", "iuf", lists)
        if (
            len(set(numbers) | taken) < len(numbers) + len(taken)
            or not np.isin(numbers, np.arange(len(names)) + 1).all()
        ):
            raise UserError(
                f"cuhk03: {split}_idx in {lists} is not of pictures 1 to {len(names)}, each once; get it again"
            )
        taken.update(numbers)
        places = [int(number) - 1 for number in numbers]
        splits[split] = sorted(
            (_record(images, str(names[place]), labels[place], f"cuhk03: filelist in {lists}") for place in places),
            key=lambda record: record.path,
        )
    return splits


def _array(arrays: dict[str, np.ndarray | None], name: str, kinds: str, lists: Path) -> np.ndarray:
    array = arrays.get(name)
    if array is None or array.dtype.kind not in kinds:
        raise UserError(f"cuhk03: {lists} is not the authors' list of the new protocol: it has no {name} of that kind")
    return array.reshape(-1)


def _record(images: Path, name: str, label: float, where: str) -> Record:
    match = RELEASED_NAME.match(name)
    if match is None or Path(name).name != name:
        raise UserError(f"{where} names '{name:.80}', which is not like 1_001_1_01.png")
    if not (float(label).is_integer() and 0 <= label < 2**53):
        raise UserError(f"{where} gives {name} the pid {label}; expected a whole number")
    return Record(listed_picture(images, name, where), int(label), int(match[1]) - 1)
