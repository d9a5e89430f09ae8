"""What the readers read."""

from pathlib import Path

import pytest

from NFC.datasets import build_dataset
from NFC.datasets.halves import draw_test_half
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


def test_p_ethz(tree):
    root = tree("p_ethz")
    dataset = build_dataset("p_ethz", root)
    assert not dataset.train and len(dataset.trials) == 10 and not dataset.cameras
    names = [(f"{pid}/{pid}_1.png", int(pid)) for pid in ("001", "002")]
    assert labels(root / "occluded_body_images", dataset.query) == [(*name, 0) for name in names]
    assert labels(root / "whole_body_images", dataset.gallery) == [(*name, 1) for name in names]
    for number, trial in enumerate(dataset.trials, start=1):
        assert len(trial.query) == 1 and trial.query == trial.gallery
        half = build_dataset("p_ethz", root, split=number)
        assert half.query == [dataset.query[trial.query[0]]] and half.gallery == [dataset.gallery[trial.gallery[0]]]
        (trained,) = {record.pid for record in half.train}
        assert len(half.train) == 2 and trained != half.query[0].pid
    assert len({tuple(trial.query) for trial in dataset.trials}) == 2
    (root / "occluded_body_images").rename(root / "partial_body_images")  # as others have named it
    again = build_dataset("p_ethz", root)
    assert labels(root / "partial_body_images", again.query) == [(*name, 0) for name in names]
    assert again.trials == dataset.trials


def test_partial_reid(tree):
    root = tree("partial_reid")
    dataset = build_dataset("partial_reid", root)
    names = [(f"00{pid}_00{shot}.jpg", pid) for pid in (1, 2) for shot in (1, 2)]
    assert labels(root / "partial_body_images", dataset.query) == [(*name, 0) for name in names]
    assert labels(root / "whole_body_images", dataset.gallery) == [(*name, 1) for name in names]
    assert not dataset.trials and not dataset.train and not dataset.cameras
    occluded = build_dataset("partial_reid", root, query="occluded")
    assert labels(root / "occluded_body_images", occluded.query) == [(*name, 0) for name in names]
    single = build_dataset("partial_reid", root, protocol="single")
    places = [(list(trial.query), list(trial.gallery)) for trial in single.trials]
    first, second = [0, 2], [1, 3]
    assert places == [(first, first), (first, second), (second, first), (second, second)]


@pytest.mark.parametrize(
    "folders",
    [
        ("partial_body_images", "whole_body_images"),
        ("occluded_body_images", "whole_body_images"),
        ("Probe", "Gallery"),
        ("query", "gallery"),
    ],
)
def test_partial_ilids(tree, folders):
    root = tree("partial_ilids")
    for old, new in zip(("partial_body_images", "whole_body_images"), folders, strict=True):
        (root / old).rename(root / new)
    dataset = build_dataset("partial_ilids", root)
    people = [("1.jpg", 1), ("2.jpg", 2), ("10.jpg", 10)]
    assert labels(root / folders[0], dataset.query) == [(*person, 0) for person in people]
    assert labels(root / folders[1], dataset.gallery) == [(*person, 1) for person in people]


def test_cuhk03_folders(tree):
    root = tree("cuhk03")
    dataset = build_dataset("cuhk03", root)
    assert labels(root, dataset.train) == [("detected/bounding_box_train/0001_c1_1.png", 1, 0)]
    assert labels(root, dataset.query) == [("detected/query/0002_c2_6.png", 2, 1)]
    assert labels(root, dataset.gallery) == [("detected/bounding_box_test/0002_c1_2.png", 2, 0)]
    dataset = build_dataset("cuhk03", root, form="labeled")
    assert labels(root, dataset.query) == [("labeled/query/0003_c1_1.png", 3, 0)]
    assert dataset.root == root and not dataset.train


def test_viper_is_searched_in_both_directions(tree):
    root = tree("viper")
    dataset = build_dataset("viper", root)
    assert labels(root, dataset.query)[:3] == [
        ("cam_a/000_45.bmp", 0, 0),
        ("cam_a/001_90.bmp", 1, 0),
        ("cam_a/010_0.bmp", 10, 0),
    ]
    assert dataset.query == dataset.gallery and len(dataset.trials) == 20 and not dataset.train
    there, back = dataset.trials[:2]
    assert (list(there.query), list(there.gallery)) == (list(back.gallery), list(back.query))
    assert {dataset.query[place].camid for place in there.query} == {0}
    half = build_dataset("viper", root, split=1)
    tested = {record.pid for record in half.query}
    assert tested == {dataset.query[place].pid for place in there.query} and len(tested) == 2
    assert {record.pid for record in half.train} == {0, 1, 10} - tested and len(half.train) == 2
    assert len(half.trials) == 2


def test_halves_never_change():
    """Scores of two machines, or of two years, are of the same people, in whichever order they were found."""
    assert sorted(draw_test_half(range(8), 1)) == [0, 3, 4, 5]
    assert sorted(draw_test_half([7, *range(7)], 2)) == [2, 3, 6, 7]


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
