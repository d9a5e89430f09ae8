"""The page of one evaluation: its table, CMC curves, and the queries whose ranking changed most."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from ..scoring.scores import Scores
from .formats import to_html
from .page import Section, plot_part, rank_list_part, text_part, write_page
from .plots import cmc_plot
from .rank_lists import RankList
from .table import score_table


def write_score_page(
    path: Path, title: str, scores: Sequence[Scores], rank_lists: Mapping[str, Sequence[RankList]], compared: str
) -> Path:
    """Write a page that needs no other file to `path` and return it.

    rank_lists: by heading, from `compare_rank_lists`; compared: what was compared there, a sentence or two.
    Raises `UserError` naming a picture that cannot be read; then nothing is written.
    """
    curves = cmc_plot({row.name: row.cmc for row in scores})
    sections = [
        Section("scores", "Scores", [to_html(score_table(scores, title))]),
        Section("cmc", "CMC", [plot_part(curves, "Share of queries with a true match among the first k.")]),
        Section(
            "rank-lists",
            "Queries whose ranking changed most",
            [text_part(compared), *(rank_list_part(heading, lists) for heading, lists in rank_lists.items())],
        ),
    ]
    return write_page(path, title, "mAP, ranks and mINP in percent; ID2: smaller is denser.", sections)
