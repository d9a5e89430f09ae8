"""The one line that a reader says about what is wrong: files, tables, names, options."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from NFC.datasets import DATASETS, Dataset, Record, Trial, build_dataset, list_datasets
from NFC.datasets.synthetic.layouts import write_layout
from pose2id.errors import UserError
from tests.nfc.datasets.trees import MSMT, TREES

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
    ("p_ethz", {"whole_body_images/001/002_1.png": None}, r"002_1\.png has pid 002 in its name"),
    ("p_ethz", {"whole_body_images/x/x_1.png": None}, r"whole_body_images/x has the pid 'x'"),
    ("p_ethz", {"whole_body_images/1/1_1.png": None}, r"001 and .*whole_body_images/1 are the same pid"),
    ("p_ethz", {name: False for name in TREES["p_ethz"] if "whole" in name}, r"folder .*whole_body_images does not"),
    ("partial_reid", {"partial_body_images/a_1.jpg": None}, r"the name of .*a_1\.jpg has the pid 'a'"),
    (
        "partial_reid",
        {name: False for name in TREES["partial_reid"] if "part" in name},
        r"partial_body_images does not",
    ),
    ("partial_ilids", {"whole_body_images/-1.jpg": None}, r"the name of .*-1\.jpg has the pid '-1'"),
    ("partial_ilids", {"Probe/1.jpg": None}, r"holds partial_body_images and Probe; leave one"),
    ("partial_ilids", {name: False for name in TREES["partial_ilids"] if "part" in name}, r"holds none of the folders"),
    (
        "partial_ilids",
        {name: False for name in TREES["partial_ilids"] if "whole" in name},
        r"whole_body_images does not",
    ),
    ("cuhk03", {"images_detected/1_001_1_01.png": None}, r"holds both forms of the detected pictures"),
    ("cuhk03", {name: False for name in TREES["cuhk03"] if "detected" in name}, r"holds neither form of the detected"),
    ("cuhk03", {"detected/query/0002_c2_6.png": False}, r"folder .*detected/query does not exist"),
    ("cuhk03", {"detected/query/0002_c3_6.png": None}, r"0002_c3_6\.png is not named like 0001_c1_1\.png"),
    ("viper", {"cam_a/000_45.bmp": False}, r"cam_b/000_45\.bmp has no picture of its person in .*cam_a"),
    ("viper", {"cam_b/x_45.bmp": None}, r"the name of .*x_45\.bmp has the pid 'x'"),
    ("viper", {name: False for name in TREES["viper"] if "cam_b" in name}, r"folder .*cam_b does not exist"),
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


def test_single_shot_needs_equal_numbers(tree):
    root = tree("partial_reid", **{"whole_body_images/002_003.jpg": None})
    assert len(build_dataset("partial_reid", root).gallery) == 5
    with pytest.raises(UserError, match="pid 1 has 2 pictures and pid 2 3; protocol=single needs as many"):
        build_dataset("partial_reid", root, protocol="single")


@pytest.fixture
def released(tmp_path):
    """A release of CUHK03 with its pictures taken out, and its lists with entries replaced or (None) left out."""
    write_layout("cuhk03", tmp_path, seed=1, train_pids=1, test_pids=1, workers=1, shots=1, released=True)
    path = tmp_path / "cuhk03_new_protocol_config_detected.mat"
    entries = {name: value for name, value in loadmat(path).items() if not name.startswith("__")}

    def change(**changes) -> Path:
        savemat(path, {name: value for name, value in (entries | changes).items() if value is not None})
        return tmp_path

    return change


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"query_idx": None}, r"is not the authors' list .* it has no query_idx"),
        ({"filelist": np.ones(6)}, r"is not the authors' list .* it has no filelist"),
        ({"labels": np.ones(5)}, r"has 6 names in filelist and 5 labels"),
        ({"gallery_idx": np.array([0.0, 4.0])}, r"gallery_idx in .* is not of pictures 1 to 6, each once"),
        ({"gallery_idx": np.array([1.5])}, r"gallery_idx in .* is not of pictures 1 to 6, each once"),
        ({"train_idx": np.array([1, 1])}, r"train_idx in .* is not of pictures 1 to 6, each once"),
        ({"query_idx": np.array([1])}, r"query_idx in .* is not of pictures 1 to 6, each once"),
        ({"labels": np.full(6, np.nan)}, r"gives .*png the pid nan; expected a whole number"),
        ({"labels": np.full(6, -1)}, r"gives .*png the pid -1; expected a whole number"),
        ({"filelist": np.array(["../x.png"] * 6, object)}, r"names '\.\./x\.png', which is not like 1_001_1_01\.png"),
        ({"filelist": np.array(["1_9_1_1.png"] * 6, object)}, r"names .*1_9_1_1\.png, which does not exist"),
        ({"query_idx": np.zeros(0)}, r"the query holds no pictures"),
    ],
)
def test_lists_of_the_release_must_fit(released, changes, told):
    with pytest.raises(UserError, match=told) as error:
        build_dataset("cuhk03", released(**changes))
    assert str(error.value).startswith("cuhk03") and "\n" not in str(error.value)


def test_damaged_lists_of_the_release(released):
    root = released()
    path = root / "cuhk03_new_protocol_config_detected.mat"
    for content in (b"", b"no mat file", path.read_bytes()[:300]):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"cannot read cuhk03: file .*config_detected\.mat"):
            build_dataset("cuhk03", root)
    path.unlink()
    with pytest.raises(UserError, match=r"cuhk03: file .*config_detected\.mat does not exist"):
        build_dataset("cuhk03", root)


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
    with pytest.raises(UserError, match=r"choose one of: cuhk03, cuhk03_classic, custom, .*market1501, .*sysu_mm01"):
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
        ("viper", {"split": 0}, "split is '0'; choose one of: all, 1, 2, .*10"),
        ("cuhk03", {"form": "labelled"}, "form is 'labelled'; choose one of: detected, labeled"),
        ("partial_reid", {"protocol": "multi"}, "protocol is 'multi'; choose one of: all, single"),
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


def test_the_rule_of_labels_in_tables(tree, caplog):
    root = tree("custom", **{f"query/ann/{name}.png": None for name in "abc"})
    head = "path,pid,split,camid"
    rows = [("1", "1", "query", 20230101), ("a", "001", "gallery", 20230102), ("b", "1.0", "gallery", 7)]
    lines = [f"query/ann/{name}.png,{pid},{split},{camid}" for name, pid, split, camid in rows]
    (root / "list.csv").write_text("\n".join([head, *lines, "query/ann/c.png,-1,gallery,7\n"]))
    dataset = build_dataset("custom", root / "list.csv")
    records = [*dataset.query, *dataset.gallery]
    assert [(record.pid, record.camid) for record in records] == [(1, 1), (1, 2), (1, 0)]  # dates: counted
    assert "1 pictures of" in caplog.text and "negative pid are junk" in caplog.text
    (root / "list.csv").write_text(f"{head}\nquery/ann/1.png,{2**63},query,1")
    with pytest.raises(UserError, match="is too large; whole numbers end at"):
        build_dataset("custom", root / "list.csv")


def test_two_folders_of_one_pid_are_refused_everywhere(tree):
    root = tree("custom", **{"query/1/1.png": None, "query/001/2.png": None})
    with pytest.raises(UserError, match=r"folders .*001 and .*1 are the same pid"):
        build_dataset("custom", root)


def test_paths_in_tables(tree):
    root = tree("custom", **{"query/ann/a\u2028b.png": None})
    (root / "list.csv").write_text(
        "path,pid,split\nquery\\ann\\1.png,1,query\nquery/ann/a\u2028b.png,1,gallery\n", encoding="utf-8"
    )
    assert len(build_dataset("custom", root / "list.csv").gallery) == 1
    os.mkfifo(root / "pipe")
    for name, told in (("x" * 300, "File name too long"), ("pipe", "is a pipe"), ("y" * 200_000, "field larger")):
        (root / "list.csv").write_text(f"path,pid,split\n{name},1,query\n")
        with pytest.raises(UserError, match=told) as error:
            build_dataset("custom", root / "list.csv")
        assert len(str(error.value).splitlines()) == 1
