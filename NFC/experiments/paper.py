"""The figures that the paper prints, read from `configs/reproduce/paper.yaml`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from omegaconf import OmegaConf

from pose2id.resources import CONFIGS

from ..report.table import PLAIN, Figures

FILE = CONFIGS / "reproduce" / "paper.yaml"


@dataclass(frozen=True)
class BenchmarkRow:
    """A row of Table 1: a network on a data set (keys of a world), before and after centralization."""

    row: str
    dataset: str
    network: str
    extractor: str
    base: Figures
    ours: Figures


def paper_rows(table: str) -> Mapping[str, Figures]:
    """Published figures of Table 2 to 5 by row name, in [0, 1]; empty for a table whose figures are not known."""
    return {row: _unit(figures) for row, figures in _read().get(table, {}).items()}


def benchmark_rows() -> Sequence[BenchmarkRow]:
    """The rows of Table 1."""
    return [
        BenchmarkRow(**{**row, "base": _unit(row["base"]), "ours": _unit(row["ours"])}) for row in _read()["table1"]
    ]


@cache
def _read() -> dict:
    return OmegaConf.to_container(OmegaConf.load(FILE))


def _unit(figures: Figures) -> Figures:
    return {metric: value if metric in PLAIN else value / 100 for metric, value in figures.items()}
