"""What an experiment found, as files and as a section of the page that all experiments share."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from matplotlib.figure import Figure
from rich.console import Console

from pose2id.files import write_text
from pose2id.reading.text import mapping, read_json

from ..report.formats import to_html, to_terminal
from ..report.page import Section, picture_part, plot_part, rank_list_part, write_page
from ..report.plots import save_figure
from ..report.rank_lists import RankList
from ..report.table import ResultTable
from ..report.write import write_table

TERMINAL = 110  # columns that the widest table takes

Drawings = Mapping[str, tuple[Figure, str]]  # file stem -> figure and caption


@dataclass(frozen=True)
class Result:
    """A table, plots (vector files), galleries of pictures (PNG) and rank lists by heading.

    claims: a second table, of what is claimed about the rows of the first; measures: a third one, of other figures.
    """

    heading: str
    table: ResultTable | None = None
    claims: ResultTable | None = None
    measures: ResultTable | None = None
    plots: Drawings = field(default_factory=dict)
    galleries: Drawings = field(default_factory=dict)
    rank_lists: Mapping[str, Sequence[RankList]] = field(default_factory=dict)

    @property
    def empty(self) -> bool:
        """Whether nothing was measured: no figure, and no row with a value."""
        return not (self.plots or self.galleries or any(row.values for row in (self.table.rows if self.table else ())))


def show(result: Result) -> None:
    """Print the tables, and what the drawings show."""
    console = Console(width=max(TERMINAL, Console().width))
    for table in filter(None, (result.table, result.claims, result.measures)):
        console.print(to_terminal(table))
    for _, caption in (*result.plots.values(), *result.galleries.values()):
        print(caption)


def save_result(folder: Path, name: str, result: Result) -> None:
    """Write the tables (.json, .csv, .md, .tex), plots (.svg) and galleries (.png) into `folder`, then its section."""
    parts = []
    tables = {name: result.table, f"{name}_claims": result.claims, f"{name}_measures": result.measures}
    for stem, table in tables.items():
        if table:
            write_text(folder / f"{stem}.json", json.dumps(asdict(table), indent=2) + "\n")
            write_table(folder / f"{stem}.json", table)
            parts.append(to_html(table))
    for stem, (figure, caption) in result.plots.items():
        save_figure(folder / f"{stem}.svg", figure)
        parts.append(plot_part(figure, caption))
    for stem, (figure, caption) in result.galleries.items():
        parts.append(picture_part(save_figure(folder / f"{stem}.png", figure), caption))
    parts += [rank_list_part(heading, lists) for heading, lists in result.rank_lists.items()]
    section = {"heading": result.heading, "parts": parts}
    write_text(folder / "section.json", json.dumps(section))


def write_index(folder: Path, names: Sequence[str], title: str, introduction: str) -> Path:
    """`index.html` with the sections of all experiments in `names` that have been run, now or before."""
    sections = []
    for name in names:
        path = folder / name / "section.json"
        if path.is_file():
            where = f"{path} is no section of a page; run {name} again"
            section = mapping(read_json(path, "section", f"run {name} again"), where, "heading", "parts")
            sections.append(Section(name, section["heading"], section["parts"]))
    return write_page(folder / "index.html", title, introduction, sections)
