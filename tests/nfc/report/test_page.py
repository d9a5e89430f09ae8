"""The HTML page: whole in itself, safe with any text, and right in a real browser."""

import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from NFC.datasets import Record
from NFC.report.formats import to_html
from NFC.report.page import Section, plot_part, rank_list_part, text_part, write_page
from NFC.report.pictures import RIGHT, WRONG
from NFC.report.plots import cmc_plot
from NFC.report.rank_lists import Hit, RankList, changed_most, rank_list
from NFC.report.table import METRICS, ResultTable, Row

HOSTILE = """<script>alert("1")</script>'&"""
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Tags(HTMLParser):
    """Every tag of a page with its attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def write_pictures(folder: Path, names: list[str]) -> list[Path]:
    for number, name in enumerate(names):
        Image.new("RGB", (64, 128), (90, 90, 80 + 20 * number)).save(folder / name, "PNG")
    return [folder / name for name in names]


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """A page with a table too wide for a phone, a plot, and a query with right and wrong pictures."""
    query, right, wrong = write_pictures(tmp_path, ["q.png", '"><b>r.png', "w&.png"])
    hits = [Hit(right, True), *[Hit(wrong, False)] * 9]
    table = ResultTable("wide", [Row(f"row {HOSTILE}", dict.fromkeys(METRICS, 0.5))] * 3, METRICS, paper=True)
    sections = [
        Section("table", "Table", [to_html(table)]),
        Section("plot", "Plot", [plot_part(cmc_plot({"a": np.linspace(0.5, 1, 50)}), f"caption {HOSTILE}")]),
        Section(
            "lists", HOSTILE, [text_part(HOSTILE), rank_list_part("gained", [RankList(query, hits, hits, 0.1, 0.9)])]
        ),
    ]
    return write_page(tmp_path / "page.html", HOSTILE, "An introduction.", sections)


def test_page_needs_nothing_but_itself(page):
    tags = Tags(page.read_text()).tags
    addresses = [value for _, attributes in tags for key, value in attributes.items() if key in ("src", "href")]
    assert len(addresses) == 1 + 1 + 20 + 3  # plot, query, hits, links to the sections
    assert all(address.startswith(("data:image/", "#")) for address in addresses)
    assert "url(" not in page.read_text()
    assert "@import" not in page.read_text()


def test_text_from_outside_stays_text(page):
    parsed = Tags(page.read_text())
    kinds = [tag for tag, _ in parsed.tags]
    assert not {"script", "b"} & set(kinds)
    assert parsed.text.count(HOSTILE) == 1 + 1 + 1 + 1 + 1 + 1 + 3  # titles, link, heading, text, caption, rows
    names = [attributes["alt"] for tag, attributes in parsed.tags if tag == "img"]
    assert 'rank 1, right: "><b>r.png' in names
    assert "rank 2, wrong: w&.png" in names


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
@pytest.mark.parametrize("width", [1200, 500])
def test_page_in_a_browser(page, tmp_path, width):
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars"]
    flags += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    places = [f"--user-data-dir={tmp_path / 'profile'}", f"--screenshot={tmp_path / 'shot.png'}"]
    command = [CHROMIUM, *flags, *places, f"--window-size={width},1800", page.as_uri()]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    pixels = np.asarray(Image.open(tmp_path / "shot.png").convert("RGB")).astype(int)
    assert pixels.shape[1] == width

    def near(colour: str) -> np.ndarray:
        return abs(pixels - tuple(bytes.fromhex(colour.removeprefix("#")))).sum(2) < 12

    right, wrong = near(RIGHT), near(WRONG)
    assert right.sum() > 1000  # two solid frames
    assert wrong.sum() > 3 * right.sum()  # eighteen dashed ones
    assert near("#ffffff")[:, -8:].all()  # the margin is empty: nothing is wider than the page
    assert near("#3f90da").sum() > 100  # the curve of the plot


def test_rank_lists_name_the_hits():
    query = [Record(Path("q0"), 7, 0), Record(Path("q1"), 8, 0)]
    gallery = [Record(Path(f"g{i}"), pid, 1) for i, pid in enumerate((7, 8, 9))]
    nearest = np.array([[0, 1, 2], [2, 0, -1]]), np.array([[0, 1, 2], [1, 2, -1]])
    precision = np.array([1.0, 0.0]), np.array([1.0, 1.0])
    entry = rank_list(query, gallery, 1, nearest, precision)
    assert entry.query == Path("q1")
    assert entry.before == [Hit(Path("g2"), False), Hit(Path("g0"), False)]  # -1 stands for no more pictures
    assert entry.after == [Hit(Path("g1"), True), Hit(Path("g2"), False)]
    assert entry.gain == 1


def test_changed_most_ranks_gains_and_losses():
    before = np.array([0.5, 0.5, np.nan, 0.9, 0.2, 0.6])
    after = np.array([0.5, 0.9, np.nan, 0.1, 0.8, 0.4])
    assert changed_most((before, after), count=5) == ([4, 1], [3, 5])
    assert changed_most((before, after), count=1) == ([4], [3])
