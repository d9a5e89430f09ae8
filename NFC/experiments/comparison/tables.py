"""What a comparison found: its rows as means over the seeds, and whether each claim holds."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ...report.table import RECALL, ResultTable, Row
from ..results import Result
from .drawings import draw
from .measures import measure
from .scoring import Bench, Figures
from .settings import Claim, TableRecipe
from .training import Workshop

Seeds = Sequence[Figures]  # of one row, by seed


def compare(workshop: Workshop, name: str, folder: Path) -> Result:
    """The table `name` of the workshop's comparison; rows already scored are in `folder`."""
    recipe = workshop.comparison.tables[name]
    bench = Bench(workshop, recipe.data)
    figures = {
        row: [bench.score(settings, seed, folder / "rows") for seed in workshop.comparison.seeds]
        for row, settings in recipe.rows.items()
    }
    claims = claims_table(recipe, figures) if recipe.claims else None
    galleries, measures = draw(recipe.drawings, bench), measure(recipe.measures, bench)
    return Result(recipe.heading, rows_table(recipe, figures), claims, measures, galleries=galleries)


def rows_table(recipe: TableRecipe, figures: Mapping[str, Seeds]) -> ResultTable:
    """A row for each method, a column for each kind of queries and metric."""
    rows = []
    for name, settings in recipe.rows.items():
        columns = _columns(figures[name], recipe.metrics)
        values, spreads = ({key: float(of(column)) for key, column in columns.items()} for of in (np.mean, np.std))
        notes = [settings.published and f"published: {settings.published}", recall_note(figures[name])]
        rows.append(Row(name, values, spreads, note="; ".join(filter(None, notes))))
    count = len(next(iter(figures.values())))
    caption = " ".join(filter(None, [recipe.caption, f"Means and deviations over {count} trainings."]))
    return ResultTable(recipe.heading, rows, list(rows[0].values), caption=caption)


def recall_note(seeds: Seeds) -> str:
    """ "Recall@100: ordinary 99.1, upper 87.5" in percent, means over the seeds; nothing where one has no shortlist."""
    common = set.intersection(*(set(values) for figures in seeds for values in figures.values()))
    means = {
        metric: [f"{kind} {100 * np.mean([figures[kind][metric] for figures in seeds]):.1f}" for kind in seeds[0]]
        for metric in sorted(common)
        if metric.startswith(RECALL)
    }
    return "; ".join(f"{metric}: {', '.join(shares)}" for metric, shares in means.items())


def claims_table(recipe: TableRecipe, figures: Mapping[str, Seeds]) -> ResultTable:
    """A row for each claim: paired differences in mAP, and what was asked for."""
    rows = [_claim_row(claim, figures) for claim in recipe.claims]
    kinds = list(dict.fromkeys(kind for row in rows for kind in row.values))
    caption = "Differences in points of mAP, paired by seed; a claim is held if its mean reaches what was asked for."
    return ResultTable(f"{recipe.heading}: what was claimed", rows, kinds, caption=caption)


def _claim_row(claim: Claim, figures: Mapping[str, Seeds]) -> Row:
    own, other = (_columns(figures[row], ["mAP"]) for row in (claim.row, claim.against))
    differences = {kind: own[kind] - other[kind] for kind in own}
    values, spreads = ({kind: float(of(values)) for kind, values in differences.items()} for of in (np.mean, np.std))
    asked = ", ".join(f"{kind} {points:+g}" for kind, points in claim.points.items())
    missed = [kind for kind, points in claim.points.items() if 100 * values[kind] < points]
    verdict = f"missed on {', '.join(missed)}" if missed else "held"
    return Row(f"{claim.row} over {claim.against}", values, spreads, note=f"asked: {asked}; {verdict}")


def _columns(seeds: Seeds, metrics: Sequence[str]) -> Mapping[str, np.ndarray]:
    """Column -> the values of all seeds; a column is a kind of queries, with the metric where there are several."""
    return {
        kind if len(metrics) == 1 else f"{kind} {metric}": np.array([figures[kind][metric] for figures in seeds])
        for kind in seeds[0]
        for metric in metrics
    }
