"""What can be said about a data set before hours are spent on it."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tqdm import tqdm

from pose2id.errors import UserError
from pose2id.pictures import read_picture

from .base import Dataset, Record, Trial


def check(dataset: Dataset) -> list[str]:
    """One line for each split whose counts are not those published for the whole benchmark; a subset is legal."""
    whole = Trial(range(len(dataset.query)), range(len(dataset.gallery)))
    trials = dataset.trials or (whole,)
    splits = {
        "train": [dataset.train],
        "query": [[dataset.query[i] for i in trial.query] for trial in trials],
        "gallery": [[dataset.gallery[i] for i in trial.gallery] for trial in trials],
        "whole": [{record.path: record for record in (*dataset.train, *dataset.query, *dataset.gallery)}.values()],
    }
    notes = []
    for split, published in dataset.published.items():
        found = sorted({_count(records) for records in splits[split]} - {published})
        if found:
            counts = ", ".join(f"{pictures:,} pictures of {pids:,} pids" for pictures, pids in found)
            notes.append(f"{dataset.name}: {split} has {counts}; published: {published[0]:,} of {published[1]:,}")
    return notes


def _count(records: Iterable[Record]) -> tuple[int, int]:
    pids = [record.pid for record in records]
    return len(pids), len(set(pids))


def find_unreadable(dataset: Dataset, workers: int = 8) -> list[Path]:
    """The pictures that cannot be decoded, sorted; every picture is read, with a progress bar on stderr."""
    paths = sorted({record.path for split in (dataset.train, dataset.query, dataset.gallery) for record in split})
    with ThreadPoolExecutor(workers) as pool:
        readable = list(tqdm(pool.map(_is_readable, paths), total=len(paths), desc="pictures", unit="image"))
    return [path for path, fine in zip(paths, readable, strict=True) if not fine]


def _is_readable(path: Path) -> bool:
    try:
        read_picture(path)
    except UserError:
        return False
    return True
