"""Data sets by name."""

from collections.abc import Callable
from pathlib import Path

from ..errors import UserError
from .base import Dataset, Record, generated_paths
from .market1501 import read_market1501

DATASETS: dict[str, Callable[[Path], Dataset]] = {
    "market1501": read_market1501,
}


def build_dataset(name: str, root: str | Path) -> Dataset:
    """Read data set `name` under `root`. `UserError` for an unknown name (lists the choices) or a missing folder."""
    if name not in DATASETS:
        raise UserError(f"unknown data set '{name}'; choose one of: {', '.join(sorted(DATASETS))}")
    root = Path(root)
    if not root.is_dir():
        raise UserError(f"{name}: folder {root} does not exist; give the folder that holds the data set")
    return DATASETS[name](root)


__all__ = ["DATASETS", "Dataset", "Record", "build_dataset", "generated_paths"]
