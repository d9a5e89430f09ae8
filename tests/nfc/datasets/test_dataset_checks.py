"""Where generated pictures of a data set lie, its published counts, its unreadable pictures."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from NFC.datasets import Dataset, Record, Trial, build_dataset, check, find_unreadable, generated_paths
from tests.nfc.datasets.trees import MSMT


@pytest.mark.parametrize(
    ("name", "options", "generated"),
    [
        ("market1501", {}, "query_gen/pose2/0002_c1s1_000451_00.jpg"),
        ("msmt17", {}, f"test_gen/pose2/0000/{MSMT}"),
        ("sysu_mm01", {}, "cam3_gen/pose2/0006/0001.jpg"),
        ("regdb", {}, "Visible_gen/pose2/2/2.bmp"),
        ("occluded_reid", {}, "occluded_body_images_gen/pose2/001/001_01.tif"),
        ("p_dukemtmc", {}, "test/occluded_body_images_gen/pose2/0003/0003_01.jpg"),
        ("p_ethz", {}, "occluded_body_images_gen/pose2/001/001_1.png"),
        ("partial_reid", {"query": "occluded"}, "occluded_body_images_gen/pose2/001_001.jpg"),
        ("partial_ilids", {}, "partial_body_images_gen/pose2/1.jpg"),
        ("cuhk03", {"form": "labeled"}, "labeled/query_gen/pose2/0003_c1_1.png"),
        ("viper", {}, "cam_a_gen/pose2/000_45.bmp"),
        ("custom", {}, "query_gen/pose2/ann/1.png"),
    ],
)
def test_generated_paths(tree, name, options, generated):
    root = tree(name)
    paths = generated_paths(build_dataset(name, root, **options).query[0], 2)
    assert [path.relative_to(root).as_posix() for path in paths] == [generated.replace("pose2", "pose1"), generated]


def test_generated_paths_of_a_table(tree, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "2.png"
    elsewhere.touch()
    text = f"path,pid,split\nquery/ann/1.png,1,query\n1.png,1,gallery\n{elsewhere},1,gallery\n"
    root = tree("custom", **{"list.csv": text, "1.png": None})
    dataset = build_dataset("custom", root / "list.csv")
    assert generated_paths(dataset.query[0], 1) == [root / "query_gen" / "pose1" / "ann" / "1.png"]
    assert {generated_paths(record, 1)[0] for record in dataset.gallery} == {
        root.with_name(f"{root.name}_gen") / "pose1" / "1.png",
        elsewhere.parent.with_name(f"{elsewhere.parent.name}_gen") / "pose1" / "2.png",
    }


def test_counts_are_compared_with_the_published_ones(tree):
    dataset = build_dataset("market1501", tree("market1501"))
    assert check(dataset) == [
        "market1501: train has 1 pictures of 1 pids; published: 12,936 of 751",
        "market1501: query has 1 pictures of 1 pids; published: 3,368 of 750",
        "market1501: gallery has 3 pictures of 2 pids; published: 15,913 of 751",
    ]
    assert check(replace(dataset, published={"train": (1, 1), "gallery": (3, 2)})) == []
    assert check(replace(dataset, published={})) == []


def test_counts_are_those_of_each_trial(tree):
    dataset = build_dataset("regdb", tree("regdb"))
    assert len(check(dataset)) == 2  # without a trial there is no training split to count
    records = [Record(Path(f"{n}.jpg"), n, 0) for n in range(4)]
    trials = [Trial([0, 1], [0]), Trial([2, 3], [0, 1]), Trial([1, 2], [3])]
    toy = Dataset(
        "toy", Path("toy"), [], records, records, trials=trials, published={"query": (2, 2), "gallery": (1, 1)}
    )
    assert check(toy) == ["toy: gallery has 2 pictures of 2 pids; published: 1 of 1"]


@pytest.mark.parametrize("split", ["all", 1])
def test_counts_of_everything_where_no_split_is_official(tree, split):
    dataset = build_dataset("p_ethz", tree("p_ethz"), split=split)
    assert check(dataset) == ["p_ethz: whole has 4 pictures of 2 pids; published: 3,897 of 85"]


@pytest.mark.parametrize(
    ("name", "options", "counts"),
    [
        ("partial_reid", {}, ["query has 4 pictures of 2 pids; published: 300 of 60"] * 2),
        ("partial_reid", {"protocol": "single"}, ["query has 2 pictures of 2 pids; published: 60 of 60"] * 2),
        ("partial_ilids", {}, ["query has 3 pictures of 3 pids; published: 119 of 119"] * 2),
        ("viper", {}, ["query has 2 pictures of 2 pids; published: 316 of 316"] * 2),
        ("viper", {"split": 3}, ["train has 2 pictures of 1 pids; published: 632 of 316"]),
        ("cuhk03", {}, ["train has 1 pictures of 1 pids; published: 7,365 of 767"]),
        ("cuhk03", {"form": "labeled"}, ["query has 1 pictures of 1 pids; published: 1,400 of 700"]),
    ],
)
def test_published_counts(tree, name, options, counts):
    told = check(build_dataset(name, tree(name), **options))
    wanted = [f"{name}: {count}" for count in counts]
    assert wanted[0] == told[0] and (len(wanted) == 1 or told == [wanted[0], wanted[1].replace("query", "gallery")])


def test_unreadable_pictures_are_found(tree):
    root = tree("custom")
    for name in ("query/ann/1.png", "gallery/ann/2.jpeg", "gallery/bob/3.tiff"):
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 32, 3), dtype=np.uint8)).save(root / name)
    dataset = build_dataset("custom", root)
    assert find_unreadable(dataset) == []
    whole = (root / "gallery/ann/2.jpeg").read_bytes()
    (root / "gallery/ann/2.jpeg").write_bytes(whole[: len(whole) // 2])
    (root / "query/ann/1.png").write_text("no picture")
    assert find_unreadable(dataset) == [root / "gallery/ann/2.jpeg", root / "query/ann/1.png"]
