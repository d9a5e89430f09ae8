"""The new protocol of CUHK03 (Zhong et al., CVPR 2017): 767 people for training and 700 for the test.

Its pictures lie in folders like Market1501's, `<root>/{detected,labeled}/{bounding_box_train, query,
bounding_box_test}`, with names like `0001_c1_1.png`; or as in the release, listed by the authors'
`cuhk03_new_protocol_config_{detected,labeled}.mat`. The camera is the view, in both; pids are the lists' labels.
"""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from pose2id.errors import UserError
from pose2id.reading.files import require_file
from pose2id.reading.mat_files import read_mat

from ..base import Dataset, Record
from ..disk import listed_picture
from ..market_like import read_market_like
from .release import FILE, PICTURE_NAME, find_in_release, find_pictures

PUBLISHED = {
    "detected": {"train": (7_365, 767), "query": (1_400, 700), "gallery": (5_332, 700)},
    "labeled": {"train": (7_368, 767), "query": (1_400, 700), "gallery": (5_328, 700)},
}
FILE_NAME = re.compile(r"(\d+)_c([12])_\d+")
SPLITS = ("train", "query", "gallery")


def read_cuhk03(root: Path, form: str) -> Dataset:
    """Read the pictures of `form`, in whichever way they lie under `root`.

    The training folder of the first way may be missing: evaluation does without.
    `UserError` for a root that has neither or both, for foreign names, and for lists that do not fit the pictures.
    """
    folders, images = root / form, root / f"images_{form}"
    lists = find_in_release(root, f"cuhk03_new_protocol_config_{form}.mat")
    found = [folder for folder in (folders, images) if folder.is_dir()]
    if not found and find_in_release(root, FILE).exists():
        require_file(lists, "cuhk03: file", "it lists the pictures of the new protocol")
        found = [find_pictures(root, form)]
    if len(found) != 1:
        what = "both forms" if found else "neither form"
        raise UserError(
            f"cuhk03: {root} holds {what} of the {form} pictures; expected folders like Market1501's in {form}, or "
            f"{FILE}, or its pictures in {images.name}, with {lists.name}"
        )
    if found == [folders]:
        dataset = read_market_like("cuhk03", folders, FILE_NAME, "0001_c1_1.png", PUBLISHED[form])
        return replace(dataset, root=root)
    return Dataset("cuhk03", root, **_read_released(images, lists), published=PUBLISHED[form], folders={images: 0})


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
    match = PICTURE_NAME.match(name)
    if match is None or Path(name).name != name:
        raise UserError(f"{where} names '{name:.80}', which is not like 1_001_1_01.png")
    if not (float(label).is_integer() and 0 <= label < 2**53):
        raise UserError(f"{where} gives {name} the pid {label}; expected a whole number")
    return Record(listed_picture(images, name, where), int(label), int(match[3]) - 1)
