"""Label maps of whole folders and data sets, made by the parser: the job behind `pose2id parse`."""

import os
import sys
from collections.abc import Iterable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from pose2id.errors import UserError, printable
from pose2id.files import NameRefused, fingerprint, remove_leftovers
from pose2id.pictures import read_picture
from pose2id.pictures.below import pictures_below
from pose2id.pictures.label_maps import write_label_map
from pose2id.processes.claims import claim
from pose2id.processes.locks import locked
from pose2id.reading.listing import is_utf8, why_not

from ..datasets import Dataset
from ..datasets.base import generated_folder
from .network import WEIGHTS, Parser

NOTE = ".parse.json"  # in the folder of maps: what it is made with
DECODERS = 4  # threads


def write_label_maps(
    pictures: Iterable[Path], root: Path, out: Path, weights: Path, batch_size: int = 32, device: str = "cpu"
) -> tuple[int, list[str]]:
    """Write the label map `<path below root without suffix>.png` of every picture into `out`.

    Returns how many were lacking and are there now, and a line for each picture that cannot be read or named. What a
    stopped run has left out is added, and what is older than its picture, or no map, is written anew. Raises
    `UserError` for pictures outside of `root` or of one name, for `weights` that are no folder of a parser, and for an
    `out` that holds something else.
    """
    parser = Parser(weights, device)
    places, failures = _places(sorted(set(pictures)), root, out)
    with locked(out):
        claim(out, NOTE, {"root": os.path.realpath(root), "parser": fingerprint(weights / WEIGHTS)})
        remove_leftovers(out)
        lacking = {path: place for path, place in places.items() if not _is_done(path, place)}
        written = 0
        with ThreadPoolExecutor(DECODERS) as pool, tqdm(total=len(lacking), desc="label maps", unit="picture") as bar:
            for first in range(0, len(lacking), batch_size):
                paths = list(lacking)[first : first + batch_size]
                faults = _write_batch(parser, {path: lacking[path] for path in paths}, pool)
                for fault in faults:
                    tqdm.write(fault, file=sys.stderr)
                failures += faults
                written += len(paths) - len(faults)
                bar.update(len(paths))
    return written, failures


def pictures_of(dataset: Dataset, generated: bool = False) -> set[Path]:
    """The pictures of all splits of a data set, and with `generated` those that were generated from them."""
    records = [*dataset.train, *dataset.query, *dataset.gallery]
    folders = {generated_folder(record) for record in records} if generated else set()
    drawn = {path for folder in folders if folder.is_dir() for path in pictures_below(folder)}
    return {record.path for record in records} | drawn


def _places(pictures: list[Path], root: Path, out: Path) -> tuple[dict[Path, Path], list[str]]:
    """Where the map of each picture goes, and a line for each that has no name to call the map."""
    if not pictures:
        raise UserError(f"{printable(root)} holds no pictures to parse")
    places: dict[Path, Path] = {}
    for path in pictures:
        if not path.is_relative_to(root):
            raise UserError(f"picture {printable(path)} lies outside of {printable(root)}; put it there")
        places[path] = out / path.relative_to(root).with_suffix(".png")
    owners: dict[Path, Path] = {}
    for path, place in places.items():
        if (other := owners.setdefault(place, path)) != path:
            raise UserError(f"{printable(other)} and {path.name} would have one map, {place.name}; rename one of them")
    nameless = [path for path in places if not is_utf8(str(path))]
    named = {path: place for path, place in places.items() if path not in nameless}
    return named, [f"{printable(path)} {why_not(path)}; skipped" for path in nameless]


def _is_done(picture: Path, place: Path) -> bool:
    """Whether the map is there, whole as far as its head says, and of the picture as it is now."""
    try:
        if place.stat().st_mtime_ns < picture.stat().st_mtime_ns:
            return False
        with Image.open(place) as labels, Image.open(picture) as shown:
            return sorted(labels.size) == sorted(shown.size)  # a picture may be shown turned
    except OSError:  # among them what Pillow says of a file that is no picture
        return False


def _write_batch(parser: Parser, places: Mapping[Path, Path], pool: Executor) -> list[str]:
    """Write the maps of some pictures; returns a line for each that cannot be read, or named."""
    read = dict(zip(places, pool.map(_read, places), strict=True))
    pictures = {path: picture for path, picture in read.items() if isinstance(picture, Image.Image)}
    faults = [printable(error) for error in read.values() if isinstance(error, UserError)]
    maps = parser(list(pictures.values())) if pictures else []
    written = pool.map(_write, (places[path] for path in pictures), maps)
    return faults + [printable(error) for error in written if error]


def _read(path: Path) -> Image.Image | UserError:
    try:
        return read_picture(path)
    except UserError as error:
        return error


def _write(place: Path, labels: np.ndarray) -> NameRefused | None:
    try:
        write_label_map(place, labels)
    except NameRefused as error:
        return error
    return None
