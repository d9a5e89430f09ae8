"""The data sets that the synthetic world writes, laid out as the real ones."""

import shutil
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from NFC.datasets import build_dataset
from NFC.datasets.synthetic.layouts import LAYOUTS, write_layout
from pose2id.errors import UserError
from tests.commands import finished


def files_of(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def market(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("market")
    count = write_layout("market1501", root, seed=5, train_pids=2, test_pids=4, workers=1)
    assert count == len(finished(root, "*.jpg"))
    return root


def test_market1501_is_read_as_the_real_one(market):
    data = build_dataset("market1501", market)
    assert {r.pid for r in data.train} == {2, 4} and {r.pid for r in data.query} == {1, 3, 5, 7}
    per_camera = Counter((r.pid, r.camid) for r in data.train)
    assert set(per_camera.values()) == {3}
    assert set(Counter(r.pid for r in data.query).values()) <= {3, 4}  # one query for each camera
    for query in data.query:
        same = [r for r in data.gallery if r.pid == query.pid]
        assert {r.camid for r in same} - {query.camid}
        assert sum(r.camid == query.camid for r in same) == 3

    people = [r for r in data.gallery if r.pid]
    assert len(people) == 3 * len(data.query)
    assert len(data.gallery) - len(people) == round(0.1 * len(people))  # distractors stay
    on_disk = [path.name for path in (market / "bounding_box_test").iterdir()]
    junk = [name for name in on_disk if name.startswith("-1_")]
    assert len(junk) == round(0.05 * len(people)) and len(data.gallery) == len(on_disk) - len(junk)
    assert data.distractors == {0}
    assert all(0 <= r.camid < 6 for r in (*data.train, *data.query, *data.gallery))
    names = [path.name for path in market.rglob("*.jpg")]
    assert len(set(names)) == len(names)


def test_a_layout_depends_on_its_seed_only(market, tmp_path):
    for seed, workers in ((5, 2), (6, 1)):
        write_layout("market1501", tmp_path / str(seed), seed, train_pids=2, test_pids=4, workers=workers)
    assert files_of(tmp_path / "5") == files_of(market)
    other = files_of(tmp_path / "6")
    assert not set(other.values()) & set(files_of(market).values())


@pytest.mark.parametrize(("train_pids", "splits"), [(3, [["1", "2"], ["3"]]), (1, [[], ["1"]]), (0, [[], []])])
def test_sysu_mm01_folders_and_splits(tmp_path, train_pids, splits):
    total = train_pids + 2
    count = write_layout("sysu_mm01", tmp_path, seed=1, train_pids=train_pids, test_pids=2, workers=1, shots=2)
    read = {
        name: [pid for pid in (tmp_path / "exp" / f"{name}_id.txt").read_text().strip().split(",") if pid]
        for name in ("train", "val", "test")
    }
    assert [read["train"], read["val"]] == splits
    assert read["test"] == [str(pid) for pid in range(train_pids + 1, total + 1)]

    pictures = sorted(tmp_path.glob("cam*/*/*.jpg"))
    assert len(pictures) == count
    for pid in range(1, total + 1):
        cameras = {path.parts[-3] for path in pictures if path.parent.name == f"{pid:04d}"}
        expected = (1, 2, 3, 4, 5, 6) if pid % 2 else (3, 4, 5, 6) if pid % 4 else (5, 6)
        assert cameras == {f"cam{n}" for n in expected}
    assert {path.name for path in pictures} == {"0001.jpg", "0002.jpg", "0003.jpg"}
    for path in pictures:
        picture = cv2.imread(str(path)).astype(int)
        spread = (picture.max(2) - picture.min(2)).mean()
        assert (spread < 1) == (path.parts[-3] in ("cam3", "cam6")), path


def test_occluded_reid_folders(tmp_path):
    assert write_layout("occluded_reid", tmp_path, seed=1, train_pids=0, test_pids=2, workers=1) == 20
    for folder in ("occluded_body_images", "whole_body_images"):
        for pid in ("001", "002"):
            names = sorted(path.name for path in (tmp_path / folder / pid).iterdir())
            assert names == [f"{pid}_{number:02d}.tif" for number in range(1, 6)]
            assert cv2.imread(str(tmp_path / folder / pid / names[0])).shape == (128, 64, 3)


@pytest.mark.parametrize(
    ("name", "test_pids", "shots", "told"),
    [("duke", 2, 1, "market1501, dukemtmc"), ("sysu_mm01", 0, 1, "1 test"), ("regdb", 1, 0, "0 shots")],
)
def test_impossible_layouts(tmp_path, name, test_pids, shots, told):
    with pytest.raises(UserError, match=told):
        write_layout(name, tmp_path / "new", seed=0, train_pids=0, test_pids=test_pids, shots=shots)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts_need_no_training_people(tmp_path, name):
    """What is written is read again, and every query finds somebody."""
    write_layout(name, tmp_path, seed=0, train_pids=0, test_pids=1, workers=1, shots=2)
    data = build_dataset(name.removesuffix("_v2"), tmp_path)
    assert not data.train
    assert {r.pid for r in data.query} == {r.pid for r in data.gallery} - data.distractors
    query, gallery = labels_of(data.query), labels_of(data.gallery)
    found = (query[0][:, None] == gallery[0]) & ~data.exclude(*query, *gallery)
    assert found.any(1).all()


def labels_of(records) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.tensor([r.pid for r in records]), torch.tensor([r.camid for r in records])


def test_cuhk03_is_written_in_both_forms(tmp_path):
    """The same people, cameras and splits, and the release tells its splits in lists."""
    for released in (False, True):
        root = tmp_path / str(released)
        count = write_layout("cuhk03", root, seed=1, train_pids=2, test_pids=3, workers=1, shots=2, released=released)
        assert count == 2 * (2 * 2 * 2 + 3 * 2 * 3) == len(finished(root, "*.png"))
    for form in ("detected", "labeled"):
        folders, release = (build_dataset("cuhk03", tmp_path / str(part), form=form) for part in (False, True))
        for split, counts in (("train", 8), ("query", 6), ("gallery", 12)):
            read = [
                sorted((r.pid, r.camid, r.path.read_bytes()) for r in getattr(d, split)) for d in (folders, release)
            ]
            assert read[0] == read[1] and len(read[0]) == counts
        assert Counter((r.pid, r.camid) for r in folders.query) == {(p, c): 1 for p in (3, 4, 5) for c in (0, 1)}


def test_partial_pictures_keep_their_own_height(tmp_path):
    write_layout("partial_reid", tmp_path, seed=1, train_pids=0, test_pids=2, workers=1, shots=2)
    shapes = {path: cv2.imread(str(path)).shape for path in tmp_path.glob("*/*.jpg")}
    assert len(shapes) == 12
    for path, (height, width, _) in shapes.items():
        assert width == 64 and (height == 128) == (path.parts[-2] != "partial_body_images")
    write_layout("partial_ilids", tmp_path / "ilids", seed=1, train_pids=0, test_pids=3, workers=1)
    assert sorted(path.name for path in tmp_path.glob("ilids/*/*.jpg")) == [
        "001.jpg",
        "001.jpg",
        "002.jpg",
        "002.jpg",
        "003.jpg",
        "003.jpg",
    ]


@pytest.mark.parametrize(("name", "pictures"), [("p_ethz", 2 * 2 * 5), ("viper", 2 * 2 * 5)])
def test_people_of_drawn_halves_are_all_written(tmp_path, name, pictures):
    assert write_layout(name, tmp_path, seed=1, train_pids=2, test_pids=3, workers=1, shots=2) == pictures
    half = build_dataset(name, tmp_path, split=4)
    train, test = ({r.pid for r in side} for side in (half.train, half.query))
    assert (len(train), len(test)) == (2, 3) and not train & test


def test_regdb_thermal_pictures_are_grey(tmp_path):
    write_layout("regdb", tmp_path, seed=1, train_pids=0, test_pids=2, workers=1, shots=1)
    for path in tmp_path.glob("*/*/*.bmp"):
        picture = cv2.imread(str(path)).astype(int)
        assert (np.ptp(picture, axis=2) == 0).all() == (path.parts[-3] == "Thermal"), path


def test_occluded_duke_hides_only_the_queries(tmp_path):
    jobs = list(LAYOUTS["occluded_duke"](tmp_path, seed=1, train_pids=0, test_pids=20))
    share = {
        split: np.mean([bool(job.view.occluder) for job in jobs if job.path.parent.name == split])
        for split in ("query", "bounding_box_test")
    }
    assert share["query"] == 1 and share["bounding_box_test"] < 0.2


def test_msmt17_is_written_in_both_versions(tmp_path):
    jobs = {
        name: list(LAYOUTS[name](tmp_path / name, seed=1, train_pids=2, test_pids=2))
        for name in ("msmt17", "msmt17_v2")
    }
    first, second = ([(job.path.name, job.view) for job in jobs[name]] for name in jobs)
    assert first == second
    assert {job.path.parts[-3] for job in jobs["msmt17"]} == {"train", "test"}
    assert {job.path.parts[-3] for job in jobs["msmt17_v2"]} == {"mask_train_v2", "mask_test_v2"}
    people = {(job.view.pid, int(job.path.parts[-2])) for job in jobs["msmt17"]}
    assert len(people) == 4 and {label for _, label in people} == {0, 1}  # two name spaces


def test_what_a_killed_run_left_out_is_added(market, tmp_path):
    """Whole pictures stay; half a picture, a missing one and a list are made again."""
    shutil.copytree(market, tmp_path / "market")
    pictures = sorted((tmp_path / "market").rglob("*.jpg"))
    before = {path: path.stat().st_mtime_ns for path in pictures}
    for path in pictures[::3]:
        path.unlink()
    assert write_layout("market1501", tmp_path / "market", seed=5, train_pids=2, test_pids=4, workers=1) > 0
    assert files_of(tmp_path / "market") == files_of(market)
    kept = [path for number, path in enumerate(pictures) if number % 3]
    assert all(path.stat().st_mtime_ns == before[path] for path in kept)


@pytest.mark.parametrize("other", [{"seed": 6}, {"test_pids": 3}, {"shots": 1}])
def test_a_folder_made_otherwise_is_refused(market, other):
    before = files_of(market)
    settings = {"seed": 5, "train_pids": 2, "test_pids": 4, "workers": 1, **other}
    with pytest.raises(UserError, match="made with other settings"):
        write_layout("market1501", market, **settings)
    with pytest.raises(UserError, match="made with other settings"):
        write_layout("dukemtmc", market, seed=5, train_pids=2, test_pids=4, workers=1)
    assert files_of(market) == before


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match="is not empty; name another"):
        write_layout("market1501", tmp_path, seed=5, train_pids=0, test_pids=1, workers=1)
    assert list(files_of(tmp_path)) == ["mine.txt"]
