"""The page of one evaluation: its table, CMC curves, and the queries whose ranking changed most."""

from collections.abc import Sequence
from pathlib import Path

from ..chain import Chain
from ..datasets import Dataset
from ..features.feature_set import FeatureSet
from ..scoring.scores import Scores
from .formats import to_html
from .page import Section, plot_part, rank_list_part, text_part, write_page
from .plots import cmc_plot
from .rank_lists import compare_rank_lists
from .table import score_table


def write_score_page(
    path: Path, title: str, scores: Sequence[Scores], dataset: Dataset, query: FeatureSet, gallery: FeatureSet
) -> Path:
    """Write a page that needs no other file to `path` and return it.

    The rank lists of the first row are held against those of the last; a single row against no step at all.
    Raises `UserError` naming a picture that cannot be read; then nothing is written.
    """
    first, last = scores[0], scores[-1]
    name, before = (first.name, first.chain) if len(scores) > 1 else ("no step", Chain())
    compared = f"Before: {name}. After: {last.name}. AP: average precision in percent."
    if dataset.trials:
        compared += f" Trial 1 of {len(dataset.trials)}."
    lists = compare_rank_lists(dataset, query, gallery, before, last.chain)
    curves = cmc_plot({row.name: row.cmc for row in scores})
    sections = [
        Section("scores", "Scores", [to_html(score_table(scores, title))]),
        Section("cmc", "CMC", [plot_part(curves, "Share of queries with a true match among the first k.")]),
        Section(
            "rank-lists",
            "Queries whose ranking changed most",
            [text_part(compared), *(rank_list_part(heading, hits) for heading, hits in lists.items())],
        ),
    ]
    return write_page(path, title, "Figures in percent, except ID2: smaller is denser.", sections)
