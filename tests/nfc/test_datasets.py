"""The Market1501 reader and the places of generated pictures."""

from pathlib import Path

import pytest

from NFC.datasets import Dataset, Record, build_dataset, generated_paths
from NFC.errors import UserError

SPLITS = {
    "bounding_box_train": ["0005_c1s1_000001_01.jpg"],
    "query": ["0002_c1s1_000451_00.jpg"],
    "bounding_box_test": [
        "0002_c6s3_000451_03.jpg",
        "-1_c1s1_000401_03.jpg",
        "0000_c2s1_000151_01.jpg",
        "0002_c3s1_000451_03.jpg.jpg",
        "Thumbs.db",
    ],
}


@pytest.fixture
def market(tmp_path: Path) -> Path:
    for split, names in SPLITS.items():
        (tmp_path / split).mkdir()
        for name in names:
            (tmp_path / split / name).touch()
    return tmp_path


def test_market1501(market):
    dataset = build_dataset("market1501", str(market))
    assert [(r.path.name, r.pid, r.camid) for r in dataset.gallery] == [
        ("0000_c2s1_000151_01.jpg", 0, 1),
        ("0002_c3s1_000451_03.jpg.jpg", 2, 2),
        ("0002_c6s3_000451_03.jpg", 2, 5),
    ]
    assert [(r.pid, r.camid) for r in dataset.query] == [(2, 0)]
    assert [(r.pid, r.camid) for r in dataset.train] == [(5, 0)]
    assert dataset.distractors == {0}


def test_unknown_name_lists_the_choices(tmp_path):
    with pytest.raises(UserError, match=r"choose one of: .*market1501"):
        build_dataset("market", tmp_path)


@pytest.mark.parametrize("split", SPLITS)
def test_missing_folder_is_named(market, split):
    (market / split).rename(market / "elsewhere")
    with pytest.raises(UserError, match=f"{split} does not exist"):
        build_dataset("market1501", market)
    with pytest.raises(UserError, match="nowhere does not exist"):
        build_dataset("market1501", market / "nowhere")


def test_foreign_name_is_named(market):
    (market / "query" / "holiday.jpg").touch()
    with pytest.raises(UserError, match=r"holiday\.jpg is not named like"):
        build_dataset("market1501", market)


@pytest.mark.parametrize("split", ["query", "gallery"])
def test_empty_split(split):
    records = {"query": [Record(Path("a.jpg"), 1, 0)], "gallery": [Record(Path("b.jpg"), 1, 1)]} | {split: []}
    with pytest.raises(UserError, match=f"the {split} holds no pictures"):
        Dataset("toy", Path("toy"), train=[], **records)


def test_generated_paths():
    record = Record(Path("market/bounding_box_test/0002_c6s3_000451_03.jpg"), 2, 5)
    assert generated_paths(record, 2) == [
        Path("market/bounding_box_test_gen/pose1/0002_c6s3_000451_03.jpg"),
        Path("market/bounding_box_test_gen/pose2/0002_c6s3_000451_03.jpg"),
    ]
