"""A data set once more, in its own layout, with partial or loose queries: `pose2id partial-queries`."""

import os
import shutil
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from pose2id.errors import UserError, printable
from pose2id.files import remove_leftovers, replacing
from pose2id.pictures import read_picture, write_picture
from pose2id.processes.claims import claim
from pose2id.processes.locks import locked
from pose2id.reading.listing import is_picture

from . import build_dataset
from .base import Dataset, generated_folder
from .partial import SHARES, crop, cut
from .synthetic.layouts import KEYPOINTS, MASKS

NOTE = ".partial_queries.json"  # in the new folder: what it is made with


def write_partial_queries(
    name: str, root: Path, out: Path, kind: str, seed: int = 0, own_size: bool = False, **options: str | int
) -> list[UserError]:
    """Write data set `name` of `root` into `out`, with part of each query in its place; returns what is unreadable.

    kind, own_size: see `NFC.datasets.partial`. What is drawn depends on the seed and on the query's path below the root
    alone. Other pictures are hard links to those of `root` where the disk allows that, else copies, as all other files
    are; hidden files, generated queries, and the truth of a synthetic data set are left out. Of a table, only the
    pictures that it names are taken. What a killed run has left out is added. Raises `UserError` for an unknown kind, a
    data set whose queries cannot be changed without changing others, and a folder that holds something else.
    """
    if kind not in SHARES:
        raise UserError(f"kind is '{kind}'; choose one of: {', '.join(SHARES)}")
    dataset = build_dataset(name, root, **options)
    source, queries = dataset.root, {record.path for record in dataset.query}
    _check_places(dataset, out)
    paths = [root, *_pictures(dataset)] if root.is_file() else _files(root, _of_whole_queries(dataset))
    failures = []
    with locked(out):
        settings = {"dataset": name, "root": os.path.realpath(root), "options": {k: str(v) for k, v in options.items()}}
        claim(out, NOTE, settings | {"kind": kind, "seed": seed, "own_size": own_size})
        remove_leftovers(out)
        for path in paths:
            if path not in queries:
                _share(path, out / path.relative_to(source))
        for path in tqdm(sorted(queries), unit="image"):
            inside = path.relative_to(source)
            if not (out / inside).is_file():
                rng = rng_of(seed, inside)
                try:
                    part = (cut if own_size else crop)(np.asarray(read_picture(path)), kind, rng)
                except UserError as error:
                    failures.append(error)
                else:
                    write_picture(out / inside, Image.fromarray(part))
    if not failures:
        _check_copy(build_dataset(name, place_of(root, out), **options), out)
    return failures


def rng_of(seed: int, inside: Path) -> np.random.Generator:
    """What decides about the query at the path `inside` its data set."""
    return np.random.default_rng([seed, zlib.crc32(inside.as_posix().encode())])


def place_of(root: Path, out: Path) -> Path:
    """What to give as the root of the new data set: its folder, or its table."""
    return out / root.name if root.is_file() else out


def _check_places(dataset: Dataset, out: Path) -> None:
    source, target = (Path(os.path.realpath(place)) for place in (dataset.root, out))
    if target.is_relative_to(source) or source.is_relative_to(target):
        raise UserError(f"out {printable(out)} and the data set at {printable(dataset.root)} lie in each other")
    others = {record.path for record in (*dataset.train, *dataset.gallery)}
    for record in dataset.query:
        where = f"{dataset.name}: query {printable(record.path)}"
        if record.path in others:
            raise UserError(f"{where} is in the gallery or the training split too; it cannot be changed alone")
        if not _is_inside(record.path, dataset.root):
            raise UserError(f"{where} lies outside of {printable(dataset.root)}; move it there, or the table above it")


def _check_copy(copy: Dataset, out: Path) -> None:
    for record in copy.query:
        if not record.path.is_relative_to(out):
            raise UserError(
                f"{copy.name}: the copy still names {printable(record.path)}; name queries by relative paths"
            )


def _is_inside(path: Path, root: Path) -> bool:
    return path.is_relative_to(root) and ".." not in path.relative_to(root).parts


def _pictures(dataset: Dataset) -> list[Path]:
    """The pictures of all splits but those that a table has elsewhere."""
    paths = {record.path for split in (dataset.train, dataset.query, dataset.gallery) for record in split}
    return sorted(path for path in paths if _is_inside(path, dataset.root))


def _of_whole_queries(dataset: Dataset) -> set[Path]:
    """Generated queries, which show more than partial ones do, and points and label maps of whole ones."""
    return {generated_folder(record) for record in dataset.query} | {dataset.root / name for name in (MASKS, KEYPOINTS)}


def _files(folder: Path, left_out: set[Path], above: frozenset[str] = frozenset()) -> Iterator[Path]:
    """The files below `folder`, also in linked folders, but no hidden ones and nothing in those `left_out`."""
    inside = above | {os.path.realpath(folder)}
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path in left_out:
            continue
        if path.is_file():
            yield path
        elif path.is_dir() and os.path.realpath(path) not in inside:
            yield from _files(path, left_out, inside)


def _share(path: Path, target: Path) -> None:
    """A hard link to a picture, or a copy of a file: whoever edits a list in place edits his own."""
    if target.exists():
        return
    if is_picture(path):
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link(os.path.realpath(path), target)
            return
        except OSError:  # another disk, or one without links
            pass
    with replacing(target) as partial:
        shutil.copyfile(path, partial)
