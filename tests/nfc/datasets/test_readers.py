"""What the readers read."""

from pathlib import Path

import pytest

from NFC.datasets import build_dataset
from pose2id.errors import UserError
from tests.nfc.datasets.trees import MSMT


def labels(root: Path, records) -> list[tuple[str, int, int]]:
    return [(record.path.relative_to(root).as_posix(), record.pid, record.camid) for record in records]


def test_market1501(tree):
    root = tree("market1501")
    dataset = build_dataset("market1501", str(root))
    assert labels(root / "bounding_box_test", dataset.gallery) == [
        ("0000_c2s1_000151_01.jpg", 0, 1),
        ("0002_c3s1_000451_03.jpg.jpg", 2, 2),
        ("0002_c6s3_000451_03.jpg", 2, 5),
    ]
    assert labels(root, dataset.query) == [("query/0002_c1s1_000451_00.jpg", 2, 0)]
    assert labels(root, dataset.train) == [("bounding_box_train/0005_c1s1_000001_01.jpg", 5, 0)]
    assert dataset.distractors == {0}


@pytest.mark.parametrize("name", ["dukemtmc", "occluded_duke"])
def test_duke(tree, name):
    root = tree(name)
    dataset = build_dataset(name, root)
    assert (dataset.name, dataset.distractors) == (name, frozenset())
    assert labels(root, dataset.query) == [("query/0005_c2_f0046985.jpg", 5, 1)]
    assert labels(root, dataset.gallery) == [("bounding_box_test/0005_c8_f0000001.jpg", 5, 7)]


@pytest.mark.parametrize("folders", [("train", "test"), ("mask_train_v2", "mask_test_v2")])
def test_msmt17(tree, folders):
    root = tree("msmt17")
    for old, new in zip(("train", "test"), folders, strict=True):
        (root / old).rename(root / new)
    dataset = build_dataset("msmt17", root)
    train = [(MSMT, 0, 0), ("0000_001_02_0303morning_0015_0.jpg", 0, 1)]
    assert labels(root / folders[0] / "0000", dataset.train) == train
    assert labels(root / folders[1] / "0000", dataset.query) == [(MSMT, 0, 0)]
    assert labels(root / folders[1] / "0000", dataset.gallery) == [("0000_001_15_0303morning_0015_0.jpg", 0, 14)]


def test_sysu_mm01(tree):
    root = tree("sysu_mm01")
    dataset = build_dataset("sysu_mm01", root)
    assert labels(root, dataset.train) == [(f"cam{number}/0001/0001.jpg", 1, number - 1) for number in range(1, 7)]
    assert labels(root, dataset.query) == [(f"cam{number}/0006/0001.jpg", 6, number - 1) for number in (3, 6)]
    assert labels(root, dataset.gallery) == [(f"cam{number}/0006/0001.jpg", 6, number - 1) for number in (1, 2, 4, 5)]


def test_regdb(tree):
    root = tree("regdb")
    dataset = build_dataset("regdb", root, direction="thermal_to_visible", trial=10)
    assert labels(root, dataset.train) == [("Thermal/1/1.bmp", 1, 1), ("Visible/1/1.bmp", 1, 0)]
    assert labels(root, dataset.query) == [("Thermal/2/2.bmp", 2, 1)]
    assert labels(root, dataset.gallery) == [("Visible/2/2.bmp", 2, 0)]


def test_custom_folders_number_names_and_keep_numbers(tree):
    root = tree("custom")
    dataset = build_dataset("custom", root)
    assert not dataset.train
    assert labels(root, dataset.query) == [("query/ann/1.png", 0, 0)]
    assert labels(root, dataset.gallery) == [("gallery/ann/2.jpeg", 0, 1), ("gallery/bob/3.tiff", 1, 1)]
    for old, new in (("query/ann", "query/12"), ("gallery/ann", "gallery/0012"), ("gallery/bob", "gallery/3")):
        (root / old).rename(root / new)
    dataset = build_dataset("custom", root)
    assert [r.pid for r in dataset.query] == [12] and sorted(r.pid for r in dataset.gallery) == [3, 12]


def test_custom_tables(tree):
    root = tree("custom")
    dataset = build_dataset("custom", root / "list.csv")
    assert labels(root, dataset.query) == [("query/ann/1.png", 0, 0)]
    assert labels(root, dataset.gallery) == [("gallery/ann/2.jpeg", 0, 1)]
    assert dataset.root == root
    dataset = build_dataset("custom", root / "list.tsv")
    assert labels(root, (*dataset.query, *dataset.gallery)) == [("query/ann/1.png", 7, 0), ("gallery/ann/2.jpeg", 7, 0)]


def test_custom_tables_mark_distractors(tree):
    root = tree("custom")
    table = root / "marked.csv"
    table.write_text("path,pid,split,distractor\nquery/ann/1.png,7,query,\ngallery/ann/2.jpeg,0,gallery,1\n")
    assert build_dataset("custom", table).distractors == {0}
    table.write_text("path,pid,split,distractor\nquery/ann/1.png,7,query,1\ngallery/ann/2.jpeg,7,gallery,0\n")
    with pytest.raises(UserError, match=r"line 2 .* has the distractor .1.; give 1 .in the gallery only., 0"):
        build_dataset("custom", table)
    table.write_text("path,pid,split,distractor\nquery/ann/1.png,7,query,\ngallery/ann/2.jpeg,7,gallery,1\n")
    with pytest.raises(UserError, match=r"pid 7 of .* is a distractor in some lines and somebody in .*png"):
        build_dataset("custom", table)
