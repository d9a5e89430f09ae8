"""Partial and loose queries: what is cut, and data sets written once more with them."""

import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from NFC.datasets import build_dataset, partial_queries
from NFC.datasets.partial import SHARES, crop, cut
from NFC.datasets.partial_queries import place_of, write_partial_queries
from NFC.datasets.synthetic.layouts import write_layout
from pose2id.errors import UserError

ROWS = np.repeat(np.arange(200, dtype=np.uint8)[:, None, None], 3, 2).repeat(10, 1)  # row k is grey k


def files_of(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture
def market(tmp_path) -> Path:
    write_layout("market1501", tmp_path / "market", seed=1, train_pids=1, test_pids=2, workers=1, shots=1)
    return tmp_path / "market"


@pytest.mark.parametrize("kind", SHARES)
def test_shares_and_places(kind):
    least, most = (round(200 * share) for share in SHARES[kind])
    rng = np.random.default_rng(0)
    parts = [cut(ROWS, kind, rng) for _ in range(500)]
    heights = [len(part) - (200 if kind == "loose" else 0) for part in parts]
    assert min(heights) >= least and max(heights) <= most and max(heights) - min(heights) > 0.9 * (most - least)
    tops, bottoms = [int(part[0, 0, 0]) for part in parts], [int(part[-1, 0, 0]) for part in parts]
    if kind == "loose":
        above = [int((part[:, 0, 0] == 0).sum()) - 1 for part in parts]
        assert set(tops) == {0} and set(bottoms) == {199} and min(above) == 0 and max(above) > 60
        assert all((np.diff(part[:, 0, 0].astype(int)) >= 0).all() for part in parts)
    else:
        assert all((np.diff(part[:, 0, 0].astype(int)) == 1).all() for part in parts)  # rows that follow one another
        assert (set(tops) == {0}) == (kind == "upper") and (kind == "upper" or max(bottoms) == 199)


@pytest.mark.parametrize("kind", SHARES)
def test_parts_are_stretched_back_as_opencv_does(kind):
    noise = np.random.default_rng(1).integers(0, 256, (128, 64, 3), dtype=np.uint8)
    part, stretched = (make(noise, kind, np.random.default_rng(2)) for make in (cut, crop))
    assert stretched.shape == noise.shape and part.shape[1:] == noise.shape[1:]
    np.testing.assert_array_equal(stretched, cv2.resize(part, (64, 128), interpolation=cv2.INTER_LINEAR))
    assert crop(noise[:1, :1], kind, np.random.default_rng(2)).shape == (1, 1, 3)


def test_only_queries_change(market, tmp_path):
    (market / "query_gen" / "pose1").mkdir(parents=True)
    shutil.copy(next((market / "query").iterdir()), market / "query_gen" / "pose1")
    (market / "readme.txt").write_text("mine")
    before = files_of(market)
    assert write_partial_queries("market1501", market, tmp_path / "out", "partial") == []
    assert files_of(market) == before
    after = files_of(tmp_path / "out")
    expected = {name for name in before if not name.startswith(("query_gen", ".synthetic"))}
    assert set(after) == expected | {partial_queries.NOTE}
    assert {name for name in expected if after[name] != before[name]} == {n for n in before if n.startswith("query/")}
    first, second = (build_dataset("market1501", root) for root in (market, tmp_path / "out"))
    assert [(r.path.name, r.pid, r.camid) for r in first.query] == [(r.path.name, r.pid, r.camid) for r in second.query]
    assert (tmp_path / "out/readme.txt").stat().st_ino != (market / "readme.txt").stat().st_ino


def test_what_is_drawn_depends_on_seed_and_name(market, tmp_path):
    for out, seed, own_size in (("a", 0, False), ("b", 0, False), ("c", 1, False), ("own", 0, True)):
        write_partial_queries("market1501", market, tmp_path / out, "band", seed, own_size)
    a, b, c, own = (
        {p.name: np.array(Image.open(p)) for p in (tmp_path / o / "query").iterdir()} for o in ("a", "b", "c", "own")
    )
    assert all((a[name] == b[name]).all() and (a[name] != c[name]).any() for name in a)
    assert {picture.shape for picture in a.values()} == {(128, 64, 3)}
    assert all(0.54 < len(picture) / 128 < 0.81 for picture in own.values())
    fewer = tmp_path / "fewer"
    shutil.copytree(market, fewer)
    sorted((fewer / "query").iterdir())[0].unlink()
    write_partial_queries("market1501", fewer, tmp_path / "d", "band")
    assert all(p.read_bytes() == (tmp_path / "a/query" / p.name).read_bytes() for p in (tmp_path / "d/query").iterdir())


def test_a_stopped_run_goes_on(market, tmp_path, monkeypatch):
    write_partial_queries("market1501", market, tmp_path / "whole", "upper")
    write, count = partial_queries.write_picture, []

    def stopping(*arguments):
        if len(count) == 2:
            raise KeyboardInterrupt
        count.append(write(*arguments))

    monkeypatch.setattr(partial_queries, "write_picture", stopping)
    with pytest.raises(KeyboardInterrupt):
        write_partial_queries("market1501", market, tmp_path / "out", "upper")
    monkeypatch.setattr(partial_queries, "write_picture", write)
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "out/query").iterdir()}
    assert len(kept) == 2
    write_partial_queries("market1501", market, tmp_path / "out", "upper")
    assert files_of(tmp_path / "out") == files_of(tmp_path / "whole")
    assert all(path.stat().st_mtime_ns == time for path, time in kept.items())
    for other in ({"kind": "band"}, {"kind": "upper", "seed": 1}, {"kind": "upper", "own_size": True}):
        with pytest.raises(UserError, match="made with other settings"):
            write_partial_queries("market1501", market, tmp_path / "out", **other)


def test_copies_where_the_disk_has_no_links(market, tmp_path, monkeypatch):
    def refuse(*places):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    write_partial_queries("market1501", market, tmp_path / "out", "loose")
    paths = list((market / "bounding_box_test").iterdir())
    for path in paths:
        copy = tmp_path / "out" / path.relative_to(market)
        assert copy.read_bytes() == path.read_bytes() and copy.stat().st_ino != path.stat().st_ino


LAYOUTS = {
    "msmt17": {},
    "sysu_mm01": {"mode": "indoor"},
    "regdb": {"trial": 2},
    "occluded_reid": {},
    "p_ethz": {"split": 3},
    "partial_reid": {"protocol": "single"},
    "cuhk03": {"form": "labeled"},
    "custom": {},
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_is_read_again(name, tmp_path):
    write_layout(name, tmp_path / "in", seed=1, train_pids=2, test_pids=2, workers=1, shots=2)
    assert write_partial_queries(name, tmp_path / "in", tmp_path / "out", "band", **LAYOUTS[name]) == []
    old, new = (build_dataset(name, tmp_path / part, **LAYOUTS[name]) for part in ("in", "out"))
    for split in ("train", "query", "gallery"):
        pairs = list(zip(getattr(old, split), getattr(new, split), strict=True))
        assert [(a.path.relative_to(old.root), a.pid) for a, _ in pairs] == [
            (b.path.relative_to(new.root), b.pid) for _, b in pairs
        ]
        assert all((a.path.read_bytes() != b.path.read_bytes()) == (split == "query") for a, b in pairs)
    assert old.trials == new.trials


def test_a_table_takes_the_pictures_that_it_names(tmp_path):
    source, out = tmp_path / "in", tmp_path / "out"
    write_layout("custom", source, seed=1, train_pids=1, test_pids=2, workers=1)
    shutil.copy(next((source / "query").rglob("*.png")), source / "other.png")
    write_partial_queries("custom", source / "dataset.csv", out, "upper")
    assert place_of(source / "dataset.csv", out) == out / "dataset.csv" and not (out / "other.png").exists()
    assert len(build_dataset("custom", out / "dataset.csv").query) == 4
    table = (source / "dataset.csv").read_text().replace("\nquery/", f"\n{source}/query/")
    (source / "absolute.csv").write_text(table)
    with pytest.raises(UserError, match=r"the copy still names .*; name queries by relative paths"):
        write_partial_queries("custom", source / "absolute.csv", tmp_path / "absolute", "upper")
    head, *lines = (source / "dataset.csv").read_text().splitlines()
    (source / "query" / "up.csv").write_text("\n".join([head, *(f"../{line}" for line in lines)]))
    with pytest.raises(UserError, match=r"lies outside of .*query; move it there"):
        write_partial_queries("custom", source / "query" / "up.csv", tmp_path / "up", "upper")


@pytest.mark.parametrize("root", ["../in", "../in/dataset.csv"])
def test_relative_places(tmp_path, monkeypatch, root):
    write_layout("custom", tmp_path / "in", seed=1, train_pids=1, test_pids=2, workers=1)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    write_partial_queries("custom", Path(root), Path("out"), "upper")
    dataset = build_dataset("custom", place_of(Path(root), tmp_path / "here/out"))
    assert [len(split) for split in (dataset.train, dataset.query, dataset.gallery)] == [4, 4, 4]


def test_linked_folders_are_entered_and_loops_are_not(market, tmp_path):
    (market / "query").rename(tmp_path / "elsewhere")
    (market / "query").symlink_to(tmp_path / "elsewhere")
    (market / "loop").symlink_to(market)
    before = files_of(tmp_path / "elsewhere")
    write_partial_queries("market1501", market, tmp_path / "out", "band")
    assert files_of(tmp_path / "elsewhere") == before
    assert not (tmp_path / "out/query").is_symlink() and not (tmp_path / "out/loop").exists()


def test_what_cannot_be_done_is_said_first(market, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full/a.txt").touch()
    write_layout("viper", tmp_path / "viper", seed=1, train_pids=0, test_pids=2, workers=1)
    for name, root, out, kind, told in (
        ("market1501", market, tmp_path / "out", "half", "kind is 'half'; choose one of: partial, band, upper, loose"),
        ("market1501", tmp_path / "no", tmp_path / "out", "band", "folder .*no does not exist"),
        ("market1501", market, market / "out", "band", "lie in each other"),
        ("market1501", market, market, "band", "lie in each other"),
        ("market1501", market, tmp_path / "full", "band", "is not empty; name another"),
        ("viper", tmp_path / "viper", tmp_path / "out", "band", r"viper: query .*bmp is in the gallery"),
    ):
        with pytest.raises(UserError, match=told) as error:
            write_partial_queries(name, root, out, kind)
        assert "\n" not in str(error.value) and not (tmp_path / "out").exists()
