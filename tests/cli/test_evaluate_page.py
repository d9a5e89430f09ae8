"""evaluate.py --page: the page is whole, shows what the table says, and is refused where there are no pictures."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from NFC.datasets import build_dataset
from tests.commands import here
from tests.nfc.toy import write_market


@pytest.fixture
def evaluate(capsys):
    """Calls the command line in this process: exit code, output and errors."""

    def call(*arguments: object) -> tuple[int, str, str]:
        return here("evaluate", *arguments, "--device", "cpu"), *capsys.readouterr()

    return call


@pytest.fixture
def market(tmp_path: Path) -> Path:
    return write_market(tmp_path / "market")


@pytest.fixture
def features(market: Path, tmp_path: Path) -> list[Path]:
    """Two files of noisy features for the pictures of `market`."""
    dataset, files = build_dataset("market1501", market), []
    directions = {0: (0, 0, 0, 1), 1: (1, 0, 0, 0), 2: (0, 1, 0, 0), 3: (0, 0, 1, 0)}
    for seed, split in enumerate(("query", "gallery")):
        noise = np.random.default_rng(seed).normal(size=(len(getattr(dataset, split)), 4))
        feats = np.array([directions[record.pid] for record in getattr(dataset, split)]) + 0.8 * noise
        files.append(tmp_path / f"{split}.npy")
        np.save(files[-1], feats.astype(np.float32))
    return files


def test_page_shows_table_curves_and_rank_lists(evaluate, market, features, tmp_path):
    path = tmp_path / "new" / "page.html"
    code, output, _ = evaluate("--features", *features, "--root", market, "--ablation", "--page", path)
    assert code == 0
    assert f"wrote {path}" in output
    page = path.read_text()
    assert "Before: Base. After: +NFC." in page  # no generated features: their rows are left out
    printed = re.findall(r"│ (Base|\+NFC) +│ +([\d.]+) │ +([\d.]+) │", output)
    assert [name for name, _, _ in printed] == ["Base", "+NFC"]
    for name, *figures in printed:
        assert f'<th scope="row">{name}</th><td>{figures[0]}</td><td>{figures[1]}</td>' in page
    assert "data:image/svg+xml" in page
    shown = re.findall(r"<h3>(\d{4}_\S+\.jpg): AP ([\d.]+) → ([\d.]+)</h3>", page)
    assert shown
    assert all(before != after for _, before, after in shown)
    assert page.count('class="hit ') >= 6 * len(shown)  # before and after, at least 3 of the 7 pictures each
    assert not re.search(r'(src|href)="(?!data:|#)', page)


def test_one_row_is_held_against_no_step(evaluate, market, features, tmp_path):
    path = tmp_path / "page.html"
    assert evaluate("--features", *features, "--root", market, "--nfc", "both", "--page", path)[0] == 0
    assert "Before: no step. After: nfc both." in path.read_text()


def test_a_table_of_ones_own_gives_the_pictures(evaluate, market, features, tmp_path):
    dataset = build_dataset("market1501", market)
    table = tmp_path / "people.csv"
    lines = [f"{r.path},{r.pid},{r.camid},{split}" for split in ("query", "gallery") for r in getattr(dataset, split)]
    table.write_text("\n".join(["path,pid,camid,split", *lines]))
    path = tmp_path / "page.html"
    flags = ["--features", *features, "--dataset", "custom", "--root", table, "--nfc", "both", "--page", path]
    assert evaluate(*flags)[0] == 0
    assert path.is_file()


def test_pages_that_cannot_be_made_are_one_line(evaluate, market, features, tmp_path):
    labels = tmp_path / "q.csv", tmp_path / "g.csv"
    flags = ["--features", *features, "--labels", *labels]
    code, _, error = evaluate(*flags, "--page", tmp_path / "page.html")
    assert (code, len(error.splitlines())) == (2, 1)
    assert "feature files hold none; give --dataset and --root" in error
    code, _, error = evaluate(*flags, "--root", market, "--page", tmp_path / "page")
    assert (code, len(error.splitlines())) == (2, 1)
    assert "ends in .html" in error
    for bad in (market / "query").iterdir():
        shutil.copy(__file__, bad)
    out = tmp_path / "out"
    flags = ["--features", *features, "--root", market, "--nfc", "both", "--save_features", out, "--out", out]
    code, _, error = evaluate(*flags, "--page", out / "page.html")
    assert code == 2
    assert f"error: cannot read picture {market / 'query'}" in error
    assert not out.exists()
