"""Scores as a terminal table, JSON and Markdown."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.table import Table

from .files import write_text
from .protocol import Scores

RANKS = (1, 5, 10)
COLUMNS = ("", "mAP", *(f"Rank-{k}" for k in RANKS), "mINP", "ID2")


def terminal_table(rows: Sequence[Scores], title: str) -> Table:
    """A rich table, one line for each row: percent, except ID2."""
    table = Table(title=title)
    for column in COLUMNS:
        table.add_column(column, justify="right" if column else "left")
    for row in rows:
        table.add_row(*_cells(row))
    return table


def markdown_table(rows: Sequence[Scores]) -> str:
    """The same table in Markdown."""
    rule = ["---" if not column else "---:" for column in COLUMNS]
    lines = [COLUMNS, rule, *map(_cells, rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def write_report(folder: Path, rows: Sequence[Scores], title: str, config: Mapping[str, object]) -> list[Path]:
    """Write `results.json` (resolved config, scores in [0, 1]) and `results.md` into `folder`; returns their paths."""
    results = {"title": title, "config": dict(config), "rows": [_values(row) for row in rows]}
    texts = {
        folder / "results.json": json.dumps(results, indent=2) + "\n",
        folder / "results.md": f"# {title}\n\n{markdown_table(rows)}",
    }
    for path, text in texts.items():
        write_text(path, text)
    return list(texts)


def _values(row: Scores) -> dict[str, object]:
    settings, ranking = row.settings, row.ranking
    return {
        "name": row.name,
        "ipg": settings.ipg.value,
        "nfc": settings.nfc.value,
        "mAP": ranking.mAP,
        "mINP": ranking.mINP,
        "cmc": ranking.cmc.tolist(),
        "ID2": row.id2,
        "valid_queries": int(ranking.valid_queries.sum()),
    }


def _cells(row: Scores) -> list[str]:
    ranking = row.ranking
    percentages = [ranking.mAP, *(ranking.cmc[k - 1] for k in RANKS), ranking.mINP]
    return [row.name, *(f"{100 * value:.2f}" for value in percentages), f"{row.id2:.4f}"]
