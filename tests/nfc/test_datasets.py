"""The readers: what they read, and the one line they say about what is wrong."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from NFC.datasets import (
    DATASETS,
    Dataset,
    Record,
    Trial,
    build_dataset,
    check,
    find_unreadable,
    generated_paths,
    list_datasets,
)
from NFC.errors import UserError

MSMT = "0000_000_01_0303morning_0015_0.jpg"

# The smallest data set of each kind: empty pictures, and files with their text.
TREES: dict[str, dict[str, str | None]] = {
    "market1501": {
        "bounding_box_train/0005_c1s1_000001_01.jpg": None,
        "query/0002_c1s1_000451_00.jpg": None,
        "bounding_box_test/0002_c6s3_000451_03.jpg": None,
        "bounding_box_test/-1_c1s1_000401_03.jpg": None,
        "bounding_box_test/0000_c2s1_000151_01.jpg": None,
        "bounding_box_test/0002_c3s1_000451_03.jpg.jpg": None,
        "bounding_box_test/Thumbs.db": None,
        "bounding_box_test/._0002_c3s1_000451_03.jpg": None,
    },
    "dukemtmc": {
        "bounding_box_train/0001_c2_f0046182.jpg": None,
        "query/0005_c2_f0046985.jpg": None,
        "bounding_box_test/0005_c8_f0000001.jpg": None,
    },
    "msmt17": {
        f"train/0000/{MSMT}": None,
        "train/0000/0000_001_02_0303morning_0015_0.jpg": None,
        f"test/0000/{MSMT}": None,
        "test/0000/0000_001_15_0303morning_0015_0.jpg": None,
        "list_train.txt": f"0000/{MSMT} 0\n",
        "list_val.txt": "0000/0000_001_02_0303morning_0015_0.jpg 0\n",
        "list_query.txt": f"0000/{MSMT} 0\n",
        "list_gallery.txt": "0000/0000_001_15_0303morning_0015_0.jpg 0\n\n",
    },
    "sysu_mm01": {
        **{f"cam{camera}/{pid}/0001.jpg": None for camera in range(1, 7) for pid in ("0001", "0006")},
        "exp/train_id.txt": "1\n",
        "exp/val_id.txt": "\n",
        "exp/test_id.txt": "6\n",
    },
    "regdb": {
        **{f"{side}/{pid}/{pid}.bmp": None for side in ("Visible", "Thermal") for pid in (1, 2)},
        **{
            f"idx/{split}_{side.lower()}_{trial}.txt": f"{side}/{pid}/{pid}.bmp 0\n"
            for split, pid in (("train", 1), ("test", 2))
            for side in ("Visible", "Thermal")
            for trial in range(1, 11)
        },
    },
    "occluded_reid": {
        "occluded_body_images/001/001_01.tif": None,
        "whole_body_images/001/001_01.tif": None,
    },
    "p_dukemtmc": {
        f"{split}/{folder}_body_images/0003/0003_01.jpg": None
        for split in ("train", "test")
        for folder in ("occluded", "whole")
    },
    "custom": {
        "query/ann/1.png": None,
        "gallery/ann/2.jpeg": None,
        "gallery/bob/3.tiff": None,
        "list.csv": "split,path,pid,note\nquery,query/ann/1.png,b,x\ngallery,gallery/ann/2.jpeg,b,\n",
        "list.tsv": "path\tpid\tsplit\tcamid\nquery/ann/1.png\t7\tquery\teast\ngallery/ann/2.jpeg\t07\tgallery\teast\n",
    },
}
TREES["occluded_duke"] = TREES["dukemtmc"]


def plant(root: Path, files: dict[str, str | None]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text or "", encoding="utf-8")


@pytest.fixture
def tree(tmp_path):
    """Plants the smallest data set of a kind, with files replaced, added, or (False) left out; gives its root."""

    def build(name: str, **changes: str | bool | None) -> Path:
        files = {path: text for path, text in (TREES[name] | changes).items() if text is not False}
        plant(tmp_path, files)
        return tmp_path

    return build


def labels(root: Path, records) -> list[tuple[str, int, int]]:
    return [(record.path.relative_to(root).as_posix(), record.pid, record.camid) for record in records]


# What is read


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


# What is wrong: data set, options, changed files, what is said

WRONG = [
    ("market1501", {"query/0002_c1s1_000451_00.jpg": False}, r"folder .*query does not exist"),
    ("market1501", {"query/holiday.jpg": None}, r"holiday\.jpg is not named like 0002_c1s1"),
    ("market1501", {"query/0005_c2_f0046985.jpg": None}, r"0005_c2_f0046985\.jpg is not named like 0002_c1s1"),
    ("market1501", {"query/0000_c1s1_000001_00.jpg": None}, r"query/0000_c1s1_000001_00\.jpg .* only the gallery"),
    ("dukemtmc", {"query/0002_c1s1_000451_00.jpg": None}, r"0002_c1s1_000451_00\.jpg is not named like 0005_c2"),
    ("dukemtmc", {"query/-1_c1_f0000451.jpg": None}, r"-1_c1_f0000451\.jpg is not named like"),
    ("occluded_duke", {"bounding_box_test/0005_c9_f0000001.jpg": None}, r"occluded_duke: .*0005_c9"),
    ("msmt17", {"mask_train_v2/a": None, "mask_test_v2/a": None}, r"holds the folders of both versions"),
    ("msmt17", {"list_val.txt": False}, r"file .*list_val\.txt does not exist"),
    ("msmt17", {"list_query.txt": ""}, r"the query holds no pictures"),
    ("msmt17", {"list_query.txt": f"\n0000/{MSMT} x\n"}, r"line 2 of .*list_query\.txt has the pid 'x'"),
    ("msmt17", {"list_query.txt": f"0000/{MSMT}\n"}, r"line 1 of .*list_query\.txt is .*expected '<picture> <pid>'"),
    ("msmt17", {"list_query.txt": "0000/1_2_03_4.jpg 0\n"}, r"line 1 .* names .*1_2_03_4\.jpg, which does not exist"),
    ("msmt17", {"list_query.txt": f"0000/{MSMT} 0\n0000/{MSMT} 0\n"}, r"line 2 of .* a second time"),
    ("msmt17", {"test/0000/a_b_16_.jpg": None, "list_query.txt": "0000/a_b_16_.jpg 0"}, r"no camera 01 to 15"),
    ("msmt17", {"test/0000/a.jpg": None, "list_query.txt": "0000/a.jpg 0"}, r"a\.jpg has no camera 01 to 15"),
    ("sysu_mm01", {"cam2/0001/0001.jpg": False, "cam2/0006/0001.jpg": False}, r"folder .*cam2 does not exist"),
    ("sysu_mm01", {"cam4/six/0001.jpg": None}, r"folder .*cam4/six has the pid 'six'"),
    ("sysu_mm01", {"cam4/6/0001.jpg": None}, r"cam4/0006 and .*cam4/6 are the same pid"),
    ("sysu_mm01", {"exp/test_id.txt": False}, r"test_id\.txt does not exist"),
    ("sysu_mm01", {"exp/test_id.txt": "6,-7\n"}, r"test_id\.txt has the pid '-7'"),
    ("sysu_mm01", {"exp/test_id.txt": "99\n"}, r"the query holds no pictures"),
    ("regdb", {"idx/test_thermal_4.txt": False}, r"test_thermal_4\.txt does not exist"),
    ("regdb", {"idx/test_thermal_4.txt": ""}, r"the gallery of trial 4 holds no pictures"),
    ("regdb", {"idx/test_thermal_4.txt": "Visible/2/2.bmp 0\n"}, r"test_thermal_4\.txt names .*expected .*Thermal"),
    ("regdb", {"idx/test_thermal_4.txt": "Thermal/2/2.bmp 5\n"}, r"the labels in the lists of trial 4"),
    ("regdb", {"idx/test_thermal_4.txt": "Thermal/1/1.bmp 0\n"}, r"the labels in the lists of trial 4"),
    ("regdb", {"Visible/x/1.bmp": None, "idx/test_visible_2.txt": "Visible/x/1.bmp 0"}, r"folder .*has the pid 'x'"),
    ("occluded_reid", {"whole_body_images/001/002_01.tif": None}, r"002_01\.tif has pid 002 in its name"),
    ("occluded_reid", {"whole_body_images/001/a.tif": None}, r"a\.tif has the pid 'a\.tif'"),
    ("occluded_reid", {"whole_body_images/001/001_01.tif": False}, r"folder .*whole_body_images does not exist"),
    ("p_dukemtmc", {"train/whole_body_images/0003/0003_01.jpg": False}, r"folder .*whole_body_images does not exist"),
    ("p_dukemtmc", {"test/whole_body_images/x/0003_01.jpg": None}, r"whole_body_images/x has the pid 'x'"),
    ("custom", {"query/ann/1.png": False}, r"folder .*query does not exist"),
    ("custom", {"query/ann/1.png": False, "query/ann/1.txt": None}, r"the query holds no pictures"),
]


@pytest.mark.parametrize(("name", "changes", "told"), WRONG)
def test_what_is_wrong_is_said_in_one_line(tree, name, changes, told):
    root = tree(name, **changes)
    with pytest.raises(UserError, match=told) as error:
        build_dataset(name, root)
    assert str(error.value).startswith(f"{name}") and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("path,pid\n", "lacks the columns split"),
        ("", "lacks the columns path, pid, split"),
        ("path,pid,split\n", "the query holds no pictures"),
        ("path,pid,split\nquery/ann/1.png,1,test\n", "line 2 of .* has the split 'test'; choose one of: train"),
        ("path,pid,split\nquery/ann/1.png,,query\n", "line 2 of .* has no pid"),
        ("path,pid,split\nquery/ann/1.png,1\n", "line 2 of .* has no split"),
        ("path,pid,split,camid\nquery/ann/1.png,1,query,\n", "line 2 of .* has no camid"),
        ("path,pid,split\nnowhere.png,1,query\n", r"line 2 of .* names .*nowhere\.png, which does not exist"),
        ("path,pid,split\nquery/ann/1.png,1,query\nquery/ann/1.png,1,gallery\n", "line 3 of .* a second time"),
    ],
)
def test_wrong_tables(tree, text, told):
    with pytest.raises(UserError, match=told):
        build_dataset("custom", tree("custom", **{"list.csv": text}) / "list.csv")


def test_a_table_of_another_kind(tree):
    root = tree("custom")
    with pytest.raises(UserError, match=r"1\.png is no table; give a \.csv or \.tsv"):
        build_dataset("custom", root / "query" / "ann" / "1.png")
    (root / "list.csv").write_bytes(b"path,pid,split\n\xff,1,query\n")
    with pytest.raises(UserError, match=r"list\.csv cannot be read"):
        build_dataset("custom", root / "list.csv")


def permutations(pid_6_camera_4: object) -> dict[str, np.ndarray]:
    """`rand_perm_cam` for one picture of each person, with one cell replaced."""
    cameras = np.empty((6, 1), object)
    for camera in range(6):
        cameras[camera, 0] = np.empty((6, 1), object)
        for pid in range(6):
            cameras[camera, 0][pid, 0] = np.ones((10, 1))
    cameras[3, 0][5, 0] = pid_6_camera_4
    return {"rand_perm_cam": cameras}


def test_official_permutations_must_fit(tree):
    root = tree("sysu_mm01")
    path = root / "exp" / "rand_perm_cam.mat"
    with pytest.raises(UserError, match=r"rand_perm_cam\.mat does not exist"):
        build_dataset("sysu_mm01", root, draw="official")
    for wrong in (np.ones((10, 2)), np.zeros((10, 1)), np.ones((9, 1))):
        savemat(path, permutations(wrong))
        with pytest.raises(UserError, match="does not permute the 1 pictures of pid 6 in camera 4"):
            build_dataset("sysu_mm01", root, draw="official")
    for wrong in ({"other": np.ones(3)}, {"rand_perm_cam": np.ones(3)}):
        savemat(path, wrong)
        with pytest.raises(UserError, match="rand_perm_cam"):
            build_dataset("sysu_mm01", root, draw="official")
    savemat(path, permutations(np.ones((10, 1))))
    whole = path.read_bytes()
    for wrong in (b"", b"no mat file", whole[:200], whole[: len(whole) // 2]):
        path.write_bytes(wrong)
        with pytest.raises(UserError, match=r"is not the authors' rand_perm_cam\.mat"):
            build_dataset("sysu_mm01", root, draw="official")
    path.write_bytes(whole)
    assert len(build_dataset("sysu_mm01", root, draw="official").gallery) == 4


@pytest.mark.parametrize("split", ["query", "gallery"])
def test_empty_split(split):
    records = {"query": [Record(Path("a.jpg"), 1, 0)], "gallery": [Record(Path("b.jpg"), 1, 1)]}
    with pytest.raises(UserError, match=f"the {split} holds no pictures"):
        Dataset("toy", Path("toy"), train=[], **records | {split: []})
    trial = replace(Trial([0], [0]), **{split: []})
    with pytest.raises(UserError, match=f"the {split} of trial 2 holds no pictures"):
        Dataset("toy", Path("toy"), train=[], **records, trials=[Trial([0], [0]), trial])


# Names and options


def test_unknown_name_lists_the_choices(tmp_path):
    with pytest.raises(UserError, match=r"choose one of: custom, .*market1501, .*sysu_mm01"):
        build_dataset("market", tmp_path)


@pytest.mark.parametrize("name", DATASETS)
def test_missing_root_is_named(name, tmp_path):
    with pytest.raises(UserError, match=f"{name}: folder .*nowhere does not exist"):
        build_dataset(name, tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        ("sysu_mm01", {"mod": "all"}, "no option 'mod'; its options are: mode, shots, draw"),
        ("market1501", {"mode": "all"}, "market1501 has no option 'mode'; it has no options"),
        ("sysu_mm01", {"mode": "outdoor"}, "mode is 'outdoor'; choose one of: all, indoor"),
        ("sysu_mm01", {"shots": 5}, "shots is '5'; choose one of: 1, 10"),
        ("regdb", {"trial": 11}, "trial is '11'; choose one of: all, 1, 2, .*10"),
    ],
)
def test_wrong_options_list_the_choices(name, options, told, tmp_path):
    with pytest.raises(UserError, match=told):
        build_dataset(name, tmp_path, **options)


def test_options_may_be_text(tree):
    root = tree("sysu_mm01")
    assert build_dataset("sysu_mm01", root, shots="10") == build_dataset("sysu_mm01", root, shots=10)


def test_every_data_set_is_listed():
    lines = list_datasets()
    assert [line.split()[0] for line in lines] == list(DATASETS)
    assert "sysu_mm01 mode=all|indoor shots=1|10 draw=random|official" in lines


# Where generated pictures lie


@pytest.mark.parametrize(
    ("name", "options", "generated"),
    [
        ("market1501", {}, "query_gen/pose2/0002_c1s1_000451_00.jpg"),
        ("msmt17", {}, f"test_gen/pose2/0000/{MSMT}"),
        ("sysu_mm01", {}, "cam3_gen/pose2/0006/0001.jpg"),
        ("regdb", {}, "Visible_gen/pose2/2/2.bmp"),
        ("occluded_reid", {}, "occluded_body_images_gen/pose2/001/001_01.tif"),
        ("p_dukemtmc", {}, "test/occluded_body_images_gen/pose2/0003/0003_01.jpg"),
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


# Checks


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
