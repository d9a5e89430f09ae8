"""What an experiment found, as files and as a section of the page that all experiments share."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from matplotlib.figure import Figure

from pose2id.files import write_text
from pose2id.reading.text import mapping, read_json

from ..report.formats import to_html
from ..report.page import Section, picture_part, plot_part, rank_list_part, write_page
from ..report.plots import save_figure
from ..report.rank_lists import RankList
from ..report.table import ResultTable
from ..report.write import write_table

Drawings = Mapping[str, tuple[Figure, str]]  # file stem -> figure and caption


@dataclass(frozen=True)
class Result:
    """A table, plots (vector files), galleries of pictures (PNG) and rank lists by heading."""

    heading: str
    table: ResultTable | None = None
    plots: Drawings = field(default_factory=dict)
    galleries: Drawings = field(default_factory=dict)
    rank_lists: Mapping[str, Sequence[RankList]] = field(default_factory=dict)

    @property
    def empty(self) -> bool:
        """Whether nothing was measured: no figure, and no row with a value."""
        return not (self.plots or self.galleries or any(row.values for row in (self.table.rows if self.table else ())))


def save_result(folder: Path, name: str, result: Result) -> None:
    """Write the table (.json, .csv, .md, .tex), plots (.svg) and galleries (.png) into `folder`, then its section."""
    parts = []
    if result.table:
        write_text(folder / f"{name}.json", json.dumps(asdict(result.table), indent=2) + "\n")
        write_table(folder / f"{name}.json", result.table)
        parts.append(to_html(result.table))
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
