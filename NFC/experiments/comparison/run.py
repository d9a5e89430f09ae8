"""A comparison from its file to its tables and its page."""

from pathlib import Path

from pose2id.errors import UserError

from ..results import save_result, show, write_index
from .bodies import Estimate
from .scoring import chain_of
from .settings import read_comparison
from .tables import compare
from .training import Source, Workshop

COMPARISONS = {
    "lecture": "Methods of local features: stripes, grids and pairs, each beside its baseline, trained alike.",
    "thesis": "Methods for asymmetric data: infrared against visible pictures, hidden against whole people.",
}
LEVELS = (
    "Everything was trained and tested on small synthetic worlds; published figures are of real data sets and larger "
    "networks. Compare what a method changes, not the level."
)


def run_comparison(
    name: str, table: str, config: str | None, overrides: list[str], out: Path, estimate: Estimate | None = None
) -> Path:
    """Train, score, print and save the tables of comparison `name`, or the one `table`; returns the page.

    estimate: of keypoints. What was trained or scored before, below `out`, is not done again. Raises `UserError` for an
    unknown table.
    """
    comparison = read_comparison(name, Path(config) if config else None, overrides)
    if table and table not in comparison.tables:
        raise UserError(f"{name} has no table '{table}'; choose one of: {', '.join(comparison.tables)}")
    for recipe in comparison.tables.values():  # before hours of training, not behind them
        for row in recipe.rows.values():
            chain_of(row.steps, comparison.data[recipe.data], Source("", None, ""))
    workshop = Workshop(comparison, out, estimate)
    for each in [table] if table else comparison.tables:
        print(f"\n== {name}.{each}", flush=True)
        result = compare(workshop, each, out / each)
        show(result)
        save_result(out / each, each, result)
    return write_index(out, list(comparison.tables), f"Pose2ID, {name}", f"{COMPARISONS[name]} {LEVELS}")
