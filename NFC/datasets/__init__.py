"""Data sets by name."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pose2id.devices import is_first_process
from pose2id.errors import UserError, printable
from pose2id.reading.listing import find_left_out

from . import cuhk03, halves, partial_reid, regdb, sysu_mm01
from .base import Dataset, Record, Trial, generated_paths
from .checks import check, find_unreadable
from .custom import read_custom
from .dukemtmc import read_dukemtmc
from .market1501 import read_market1501
from .msmt17 import read_msmt17
from .occluded_duke import read_occluded_duke
from .occluded_reid import read_occluded_reid
from .p_dukemtmc import read_p_dukemtmc
from .p_ethz import read_p_ethz
from .partial_ilids import read_partial_ilids
from .viper import read_viper

logger = logging.getLogger(__name__)

Choices = Sequence[str | int]


@dataclass(frozen=True)
class Reader:
    """How to read a data set: a function of its root and of its options, each with its choices, the default first."""

    read: Callable[..., Dataset]
    options: Mapping[str, Choices] = field(default_factory=dict)


DATASETS: dict[str, Reader] = {
    "market1501": Reader(read_market1501),
    "dukemtmc": Reader(read_dukemtmc),
    "occluded_duke": Reader(read_occluded_duke),
    "msmt17": Reader(read_msmt17),
    "sysu_mm01": Reader(sysu_mm01.read_sysu_mm01, sysu_mm01.OPTIONS),
    "regdb": Reader(regdb.read_regdb, regdb.OPTIONS),
    "occluded_reid": Reader(read_occluded_reid),
    "p_dukemtmc": Reader(read_p_dukemtmc),
    "p_ethz": Reader(read_p_ethz, halves.OPTIONS),
    "partial_reid": Reader(partial_reid.read_partial_reid, partial_reid.OPTIONS),
    "partial_ilids": Reader(read_partial_ilids),
    "cuhk03": Reader(cuhk03.read_cuhk03, cuhk03.OPTIONS),
    "cuhk03_classic": Reader(cuhk03.read_cuhk03_classic, cuhk03.CLASSIC_OPTIONS),
    "viper": Reader(read_viper, halves.OPTIONS),
    "custom": Reader(read_custom),
}


def build_dataset(name: str, root: str | Path, **options: str | int) -> Dataset:
    """Read data set `name` under `root`, the folder that holds it (custom: or its table).

    Options that are left out take their first choice; numbers may be given as text. One warning counts the files below
    its folders that are neither pictures that are read, nor hidden, nor known to lie beside pictures.
    `UserError` for an unknown name, option or choice (it lists them), and for whatever is wrong on disk.
    """
    chosen = choose_options(name, options)
    root = Path(root)
    if not root.exists():
        raise UserError(f"{name}: folder {root} does not exist; give the folder that holds the data set")
    dataset = DATASETS[name].read(root, **chosen)
    if is_first_process() and (left_out := str(find_left_out(dataset.folders))):
        logger.warning("%s at %s: %s", name, printable(root), left_out)
    return dataset


def choose_options(name: str, given: Mapping[str, str | int]) -> dict[str, str | int]:
    """All options of data set `name`, the `given` ones and the first choice of the others.

    `UserError` for an unknown name, option or choice.
    """
    if name not in DATASETS:
        raise UserError(f"unknown data set '{name}'; choose one of: {', '.join(sorted(DATASETS))}")
    options = DATASETS[name].options
    for key in given:
        if key not in options:
            known = f"its options are: {', '.join(options)}" if options else "it has no options"
            raise UserError(f"{name} has no option '{key}'; {known}")
    return {key: _choose(name, key, choices, given.get(key, choices[0])) for key, choices in options.items()}


def _choose(name: str, key: str, choices: Choices, value: str | int) -> str | int:
    for choice in choices:
        if str(choice) == str(value):
            return choice
    raise UserError(f"{name}: {key} is '{value}'; choose one of: {', '.join(map(str, choices))}")


def training_records(dataset: Dataset, options: str = "options") -> Sequence[Record]:
    """The training split; `UserError` that says what to do where it is empty. options: the setting that holds them."""
    if not dataset.train:
        own = DATASETS[dataset.name].options if dataset.name in DATASETS else {}
        option = next((name for name in ("split", "trial") if name in own), None)
        hint = f"name one {option}: {options}.{option}=1" if option else "take a data set that has a training split"
        raise UserError(f"{dataset.name} at {dataset.root} has no training pictures; {hint}")
    return dataset.train


def list_datasets() -> list[str]:
    """One line for each data set with its options: `sysu_mm01 mode=all|indoor shots=1|10 draw=random|official`."""
    return [
        " ".join([name, *(f"{key}={'|'.join(map(str, choices))}" for key, choices in reader.options.items())])
        for name, reader in DATASETS.items()
    ]


__all__ = [
    "DATASETS",
    "Dataset",
    "Record",
    "Trial",
    "build_dataset",
    "check",
    "choose_options",
    "find_unreadable",
    "generated_paths",
    "list_datasets",
    "training_records",
]
