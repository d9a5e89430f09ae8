"""Scores as text: terminal, JSON, CSV, Markdown, LaTeX, HTML."""

import csv
import json
from dataclasses import replace
from io import StringIO

import numpy as np
import pytest
from rich.console import Console

from NFC.chain import Chain
from NFC.report import terminal_table, write_report
from NFC.report.formats import to_csv, to_html, to_latex, to_markdown, to_terminal
from NFC.report.table import METRICS, ResultTable, Row, score_row, score_table
from NFC.scoring.ranking import RankingResult
from NFC.scoring.recall import Recall
from NFC.scoring.scores import Scores
from NFC.steps import GeneratedPictures

PAPER = {"Base": {"mAP": 0.7988, "ID2": 0.2193}}


def ranking(mAP: float) -> RankingResult:
    """A trial whose CMC is mAP at rank 1 and grows by 0.01 a rank."""
    cmc = mAP + 0.01 * np.arange(50)
    return RankingResult(mAP, mAP / 2, cmc, np.full(3, mAP), np.full(3, mAP / 2), np.array([True, True, False]))


@pytest.fixture
def trials() -> list[Scores]:
    """A base with one trial; a row of two trials that differ by 0.2 in mAP."""
    return [
        Scores("Base", Chain(), (ranking(0.4),), (0.2,)),
        Scores("+IPG", Chain.of(GeneratedPictures()), (ranking(0.4), ranking(0.6)), (0.1, 0.3)),
    ]


def test_spreads_appear_only_where_there_are_trials(trials):
    one, two = map(score_row, trials)
    assert one.spreads == {}
    assert two.values == pytest.approx(
        {"mAP": 0.5, "mINP": 0.25, "ID2": 0.2, "Rank-1": 0.5, "Rank-5": 0.54, "Rank-10": 0.59}
    )
    assert two.spreads == pytest.approx(
        {"mAP": 0.1, "mINP": 0.05, "ID2": 0.1, "Rank-1": 0.1, "Rank-5": 0.1, "Rank-10": 0.1}
    )
    cells = [line for line in to_markdown(score_table(trials, "t")).splitlines() if line.startswith("| +IPG")]
    assert cells == [
        "| +IPG | 50.00 ± 10.00 | 50.00 ± 10.00 | 54.00 ± 10.00 | 59.00 ± 10.00 | 25.00 ± 5.00 | 0.2000 ± 0.1000 |"
    ]


def test_the_papers_figures_stand_beside_ours_and_are_empty_where_unknown(trials):
    table = replace(score_table(trials, "t", PAPER), metrics=("mAP", "ID2"))
    assert table.header == ["", "mAP", "mAP paper", "ID2", "ID2 paper"]
    assert list(table.cells) == [
        ["Base", "40.00", "79.88", "0.2000", "0.2193"],
        ["+IPG", "50.00 ± 10.00", "", "0.2000 ± 0.1000", ""],
    ]
    assert "mAP paper" not in score_table(trials, "t").header


def test_recall_has_a_column_only_where_a_row_has_a_shortlist(trials, tmp_path):
    assert score_table(trials, "t").header == ["", *METRICS]
    rows = [trials[0], replace(trials[1], recalls=(Recall(0.9, 60), Recall(1.0, 40)))]
    table = score_table(rows, "t")
    assert table.header == ["", *METRICS, "Recall@60"]
    assert [cells[-1] for cells in table.cells] == ["", "95.00 ± 5.00"]
    write_report(tmp_path, rows, "t", {})
    base, ipg = json.loads((tmp_path / "results.json").read_text())["rows"]
    assert not {"recall", "recall_k"} & base.keys()
    assert (ipg["recall"], ipg["recall_k"], ipg["spread"]["Recall@60"]) == pytest.approx((0.95, 60, 0.05))
    assert [line["Recall@60"] for line in csv.DictReader(StringIO(to_csv(table)))] == ["", "0.95"]


def test_terminal_shows_every_figure_and_takes_names_as_they_are(trials):
    console = Console(width=200, file=StringIO())
    console.print(terminal_table(trials, "Market [bold]1501", PAPER))
    console.print(to_terminal(ResultTable("t", [Row("[red]x[/]", note="[needs] y")], ("mAP",))))
    text = console.file.getvalue()
    for part in ("Market [bold]1501", "40.00", "79.88", "50.00 ± 10.00", "[red]x[/]", "[needs] y"):
        assert part in text


def test_csv_is_unrounded_and_reads_back():
    value = 1 / 3
    table = ResultTable("t", [Row('a "quoted", name', {"mAP": value}, {"mAP": 0.1}), Row("none", note="n")], ("mAP",))
    lines = list(csv.DictReader(StringIO(to_csv(table))))
    assert lines[0]["name"] == 'a "quoted", name'
    assert float(lines[0]["mAP"]) == value
    assert float(lines[0]["mAP spread"]) == 0.1
    assert lines[1] == {"name": "none", "mAP": "", "mAP spread": "", "note": "n"}


def test_latex_is_booktabs_with_every_sign_escaped():
    table = ResultTable(r"50% of a_b & \c", [Row("x^2 {#1} ~$", {"mAP": 0.5}, {"mAP": 0.01})], ("mAP",))
    text = to_latex(table)
    assert r"\caption{50\% of a\_b \& \textbackslash{}c}" in text
    assert r"x\textasciicircum{}2 \{\#1\} \textasciitilde{}\$ & 50.00 $\pm$ 1.00 \\" in text
    rules = [line for line in text.splitlines() if line.endswith("rule")]
    assert rules == [r"\toprule", r"\midrule", r"\bottomrule"]
    assert r"\begin{tabular}{lr}" in text


def test_markdown_and_html_cells_cannot_break_out_of_the_table():
    table = ResultTable("t", [Row("a|b\nc <b>", note='<img src="x">')], ("mAP",))
    assert r"| a\|b c <b> |  | <img" in to_markdown(table)
    html = to_html(table)
    assert "<b>" not in html
    assert "<img" not in html
    assert "a|b\nc &lt;b&gt;" in html


def test_report_files_hold_the_scores(trials, tmp_path):
    paths = write_report(tmp_path, trials, "Title", {"poses": 8}, PAPER)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in paths)
    assert {path.suffix for path in paths} == {".json", ".csv", ".md", ".tex"}
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["config"] == {"poses": 8}
    base, ipg = results["rows"]
    assert base["paper"] == PAPER["Base"]
    assert base["steps"] == []
    assert ipg["steps"] == [{"name": "generated", "on": "both", "eta": 1.0, "reduction": "sum"}]
    assert ipg["trials"] == 2
    assert ipg["mAP"] == pytest.approx(0.5)
    assert ipg["spread"]["Rank-1"] == pytest.approx(0.1)
    assert len(ipg["cmc"]) == 50
    assert ipg["valid_queries"] == 2
    for name in ("results.md", "results.tex"):
        assert "79.88" in (tmp_path / name).read_text()
