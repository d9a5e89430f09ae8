"""The experiments by name. Figure 5 is not among them: its pictures need the generator (`pose2id reproduce`)."""

from collections.abc import Callable

from . import figures, tables
from .results import Result
from .world import World

EXPERIMENTS: dict[str, Callable[[World], Result]] = {
    "table1": tables.table1,
    "table2": tables.table2,
    "table3": tables.table3,
    "table4": tables.table4,
    "table5": tables.table5,
    "table6": tables.table6,
    "table7": tables.table7,
    "table8": tables.table8,
    "table9": tables.table9,
    "table10": tables.table10,
    "fig4": figures.fig4,
    "fig7": figures.fig7,
    "fig8": figures.fig8,
    "fig9": figures.fig9,
}
