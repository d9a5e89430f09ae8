"""Scores to a terminal and to files."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.table import Table

from pose2id.files import write_text

from ..scoring.scores import Scores
from .formats import to_csv, to_latex, to_markdown, to_terminal
from .table import Figures, ResultTable, score_row, score_table

FORMATS = {".csv": to_csv, ".md": to_markdown, ".tex": to_latex}


def terminal_table(rows: Sequence[Scores], title: str, paper: Mapping[str, Figures] | None = None) -> Table:
    """A rich table, one line for each row: percent, except ID2. paper: see `score_table`."""
    return to_terminal(score_table(rows, title, paper))


def write_report(
    folder: Path,
    rows: Sequence[Scores],
    title: str,
    config: Mapping[str, object],
    paper: Mapping[str, Figures] | None = None,
) -> list[Path]:
    """Write `results.json` (resolved config, unrounded scores), `.csv`, `.md` and `.tex` into `folder`.

    paper: published figures by row name, see `score_table`. Returns the paths of the files.
    """
    results = {"title": title, "config": dict(config), "rows": [score_record(row, paper) for row in rows]}
    path = Path(folder) / "results.json"
    write_text(path, json.dumps(results, indent=2) + "\n")
    return [path, *write_table(path, score_table(rows, title, paper))]


def write_table(path: Path, table: ResultTable) -> list[Path]:
    """Write a table as `.csv`, `.md` and `.tex`, named like `path`; returns the paths of the files."""
    paths = [Path(path).with_suffix(suffix) for suffix in FORMATS]
    for target, render in zip(paths, FORMATS.values(), strict=True):
        write_text(target, render(table))
    return paths


def score_record(row: Scores, paper: Mapping[str, Figures] | None = None) -> dict[str, object]:
    """One row as plain values: its steps, the means over trials, their spreads and the published figures.

    `recall` and the length of the shortlist, `recall_k`, are there where the matcher has one.
    """
    line, recall = score_row(row, (paper or {}).get(row.name)), row.recall
    return {
        "name": row.name,
        "steps": row.chain.described(),
        "mAP": row.mAP,
        "mINP": row.mINP,
        "cmc": row.cmc.tolist(),
        "ID2": row.id2,
        **({"recall": recall.share, "recall_k": recall.k} if recall else {}),
        "trials": len(row.rankings),
        "spread": line.spreads,
        "paper": line.paper,
        "valid_queries": int(row.rankings[0].valid_queries.sum()),
    }
