"""A results table as a value: what it says, before it becomes a terminal's, a file's or a page's."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ..scoring.scores import Scores

METRICS = ("mAP", "Rank-1", "Rank-5", "Rank-10", "mINP", "ID2")
RECALL = "Recall@"  # of a shortlist of so many, where a row has one
PLAIN = frozenset({"ID2"})  # printed as they are; all others in percent

Figures = Mapping[str, float]  # metric -> value


@dataclass(frozen=True)
class Row:
    """One line of a table. Figures are in [0, 1] (ID2: [0, 4]); a metric without a figure is an empty cell.

    spreads: standard deviations over trials, where there are several. paper: the published figures.
    note: a remark, or what is lacking where there are no figures.
    """

    name: str
    values: Figures = field(default_factory=dict)
    spreads: Figures = field(default_factory=dict)
    paper: Figures = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True)
class ResultTable:
    """Rows and the metrics that they show; with `paper`, each metric is followed by the published figure."""

    title: str
    rows: Sequence[Row]
    metrics: Sequence[str] = METRICS
    paper: bool = False
    caption: str = ""

    @property
    def header(self) -> list[str]:
        """Column names: the row's own (without a name), the metrics, and "Note" where a row has one."""
        figures = [
            name for metric in self.metrics for name in ((metric, f"{metric} paper") if self.paper else (metric,))
        ]
        return ["", *figures, *(["Note"] if self._noted else [])]

    @property
    def cells(self) -> Iterator[list[str]]:
        """The text of each row's cells, as many as the header has."""
        for row in self.rows:
            cells = [row.name]
            for metric in self.metrics:
                cells.append(format_figure(metric, row.values.get(metric), row.spreads.get(metric)))
                if self.paper:
                    cells.append(format_figure(metric, row.paper.get(metric)))
            yield [*cells, *([row.note] if self._noted else [])]

    @property
    def _noted(self) -> bool:
        return any(row.note for row in self.rows)


def format_figure(metric: str, value: float | None, spread: float | None = None) -> str:
    """ "76.44" (percent) or "0.4072" (ID2), with its spread "76.44 ± 1.20"; empty without a value."""
    scale, digits = (1, 4) if metric in PLAIN else (100, 2)
    return " ± ".join(f"{scale * number:.{digits}f}" for number in (value, spread) if number is not None)


def score_row(scores: Scores, paper: Figures | None = None, note: str = "") -> Row:
    """The row of one evaluation: means over its trials, and spreads where there is more than one.

    Besides `METRICS` it has "Recall@100" where the matcher compares a shortlist of 100 alone.
    """
    ranks = {metric: int(metric.removeprefix("Rank-")) for metric in METRICS if metric.startswith("Rank-")}
    values = {"mAP": scores.mAP, "mINP": scores.mINP, "ID2": scores.id2}
    values |= {metric: float(scores.cmc[rank - 1]) for metric, rank in ranks.items()}
    recalls = {f"{RECALL}{recall.k}": recall.share} if (recall := scores.recall) else {}
    spreads = {}
    if len(scores.rankings) > 1:
        spreads = {metric: scores.spread("id2" if metric == "ID2" else metric.lower()) for metric in ("ID2", *ranks)}
        spreads |= {metric: scores.spread(metric) for metric in ("mAP", "mINP")}
        spreads |= {metric: scores.spread("recall") for metric in recalls}
    return Row(scores.name, values | recalls, spreads, paper or {}, note)


def score_table(
    rows: Sequence[Scores], title: str, paper: Mapping[str, Figures] | None = None, caption: str = ""
) -> ResultTable:
    """A table of evaluations. paper: published figures by row name; None leaves their columns out.

    Recall has a column for each length of a shortlist that a row has, and none otherwise.
    """
    lines = [score_row(row, (paper or {}).get(row.name)) for row in rows]
    metrics = tuple(dict.fromkeys([*METRICS, *(metric for line in lines for metric in line.values)]))
    return ResultTable(title, lines, metrics, paper=paper is not None, caption=caption)
