"""Who is who in imported files: their labels, and whether they agree with the data set that is given beside them."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from pose2id.errors import UserError
from pose2id.reading.arrays import Arrays, as_tensor
from pose2id.reading.labels import as_integers

from ..datasets import Record
from .imported_files import find, held

REMEDY = (
    "put the rows in the order of build_dataset(...), give the data set that they are of, or, if the file's labels do "
    "not matter, save it without them"
)


def labels_of(arrays: Arrays, split: str, path: Path, cameras: bool = True) -> tuple[Tensor, Tensor | None]:
    """pids and camids (N,) int64; a file of one unnamed array (a .npy file) may hold them as its two columns.

    cameras: without it, nobody looks for camids, and they are None.
    """
    if not cameras:
        return _labels(find(arrays, "pids", split, path), f"pids in {path}"), None
    if not held(arrays, "pids", split) and list(arrays) == ["feats"]:
        table = as_tensor(arrays["feats"], f"labels in {path}")
        whole = not table.is_floating_point() or bool((table == table.trunc()).all())
        if table.ndim == 2 and table.shape[1] == 2 and whole:
            return _labels(table[:, 0], f"pids in {path}"), _labels(table[:, 1], f"camids in {path}")
        if table.ndim == 1 and whole:
            raise UserError(f"{path} has no camids; save two columns (N, 2), pid and camid, as whole numbers")
    pids, camids = (_labels(find(arrays, name, split, path), f"{name} in {path}") for name in ("pids", "camids"))
    return pids, camids


def _labels(values: object, name: str) -> Tensor:
    """(N,) int64; (1, N) and (N, 1) are fine, as MATLAB writes them."""
    return as_integers(as_tensor(values, name), name)


def check_against(records: Sequence[Record], arrays: Arrays, split: str, path: Path, count: int) -> None:
    """`UserError` naming the first row of the file whose labels are not those of the data set's picture in its place.

    Files without labels have nothing to contradict. Cameras may be counted from 1, as names of files count them.
    """
    if count != len(records) or not held(arrays, "pids", split):
        return
    wanted = {"pid": torch.tensor([r.pid for r in records]), "camid": torch.tensor([r.camid for r in records])}
    for name, expected in wanted.items():
        if not held(arrays, f"{name}s", split):
            continue
        found = _labels(find(arrays, f"{name}s", split, path), f"{name}s in {path}")
        if found.shape != expected.shape:
            raise UserError(f"{path}: {count} features but {len(found)} {name}s; every row needs one")
        wrong = (found != expected).nonzero()[:, 0]
        if len(wrong) and not (name == "camid" and torch.equal(found, expected + 1)):
            row = int(wrong[0])
            raise UserError(
                f"{path} contradicts the data set: row {row} of its {split} has {name} {found[row]}, but picture "
                f"{records[row].path} has {name} {expected[row]} ({len(wrong)} of {count} rows differ); {REMEDY}"
            )
