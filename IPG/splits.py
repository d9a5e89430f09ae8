"""The splits of a data set, by name."""

from collections.abc import Callable, Sequence

from NFC.datasets import Dataset, Record
from pose2id.errors import UserError

SPLITS: dict[str, Callable[[Dataset], Sequence[Record]]] = {
    "query": lambda dataset: dataset.query,
    "gallery": lambda dataset: dataset.gallery,
    "train": lambda dataset: dataset.train,
}


def check_splits(names: Sequence[str]) -> None:
    """`UserError` for a name that is none of `SPLITS`."""
    for name in names:
        if name not in SPLITS:
            raise UserError(f"splits '{name}' is unknown; choose one of: {', '.join(SPLITS)}")


def split_records(dataset: Dataset, names: Sequence[str]) -> list[Record]:
    """The pictures of the named splits, one split after the other."""
    check_splits(names)
    return [record for name in names for record in SPLITS[name](dataset)]
