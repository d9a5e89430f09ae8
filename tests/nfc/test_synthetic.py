"""The synthetic world, its ground truth, and the folders it writes."""

from collections import Counter
from dataclasses import fields, replace
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from NFC.datasets import build_dataset
from NFC.datasets.synthetic import Shot, View, World
from NFC.datasets.synthetic.groups import POSES, Groups, read_groups, shoot_group, write_groups
from NFC.datasets.synthetic.layouts import LAYOUTS, write_layout
from NFC.datasets.synthetic.occluders import KINDS
from NFC.datasets.synthetic.pose import KEYPOINTS, draw_pose
from NFC.errors import UserError

VIEW = View(pid=3, camid=1, index=0)
JPEG_REACH = 16  # pixels of a block with halved colour resolution
# What a look-alike may change together; everything of the outfit that is not listed stays.
CLOTHES = (
    {"hairstyle"},
    {"shoes", "boots"},
    {"bag", "bag_colour"},
    {"lower", "lower_fabric"},
    {"upper_fabric"},
    {"upper", "inner"},
)
BODY = {"height", "girth", "shoulders", "legs", "head", "skin", "hair"}


@pytest.fixture(scope="module")
def world() -> World:
    return World(7)


def grown(mask: np.ndarray, pixels: int) -> np.ndarray:
    """`mask` and all that lies within `pixels` of it."""
    return cv2.dilate(mask.astype(np.uint8), np.ones((2 * pixels + 1, 2 * pixels + 1), np.uint8)) > 0


def difference(a: Shot, b: Shot) -> float:
    """Mean absolute difference of two pictures in grey levels."""
    return float(np.abs(a.picture.astype(int) - b.picture).mean())


def test_a_shot_is_what_it_says(world):
    shot = world.shoot(VIEW)
    assert (shot.picture.shape, shot.picture.dtype) == ((128, 64, 3), np.uint8)
    assert (shot.keypoints.shape, shot.keypoints.dtype) == ((18, 3), np.float32)
    assert shot.person_mask.shape == shot.occlusion_mask.shape == (128, 64)
    assert shot.person_mask.dtype == shot.occlusion_mask.dtype == bool
    assert 0.1 < shot.person_mask.mean() < 0.6
    assert shot.picture.std() > 15
    assert set(shot.keypoints[:, 2].tolist()) <= {0.0, 1.0}


@pytest.mark.parametrize("occluder", ["", *KINDS])
@pytest.mark.parametrize("infrared", [False, True])
def test_the_same_seed_gives_the_same_picture(world, infrared, occluder):
    view = replace(VIEW, infrared=infrared, occluder=occluder)
    again = World(7)
    again.shoot(View(pid=8, camid=4, index=2))  # what was asked before does not matter
    first, second = world.shoot(view), again.shoot(view)
    for name in ("picture", "keypoints", "person_mask", "occlusion_mask"):
        assert np.array_equal(getattr(first, name), getattr(second, name)), name
    assert first.pose == second.pose


def test_another_seed_person_camera_or_number_gives_another_picture(world):
    changes = ({"pid": 4}, {"camid": 2}, {"index": 1}, {"infrared": True}, {"occluder": "pole"})
    shots = [world.shoot(VIEW), World(8).shoot(VIEW), *(world.shoot(replace(VIEW, **change)) for change in changes)]
    assert min(difference(a, b) for a, b in combinations(shots, 2)) > 3


@pytest.mark.parametrize("camid", range(4))
def test_another_pose_keeps_the_background(world, camid):
    view = replace(VIEW, camid=camid)
    first = world.shoot(view)
    second = world.shoot(view, pose=draw_pose(np.random.default_rng(5)))
    changed = np.abs(first.picture.astype(int) - second.picture).max(2)
    moved = first.person_mask ^ second.person_mask
    background = ~grown(first.person_mask | second.person_mask, 8)
    assert background.mean() > 0.2 and moved.mean() > 0.02
    assert changed[background].mean() < 1.5 and np.quantile(changed[background], 0.99) < 16
    assert changed[moved].mean() > 10


def test_centred_takes_away_the_jitter(world):
    """Two numbers of a view differ in box and background; centred in one pose, they show the person at one place."""
    pose = draw_pose(np.random.default_rng(5))
    views = [replace(VIEW, index=index) for index in range(5)]
    for centred, same in ((True, True), (False, False)):
        masks = [world.shoot(view, pose, centred).person_mask for view in views]
        assert all(np.array_equal(masks[0], mask) for mask in masks) is same


def outfit_colours(shot: Shot) -> np.ndarray:
    """Mean colours of the chest and of the thighs, (6,)."""
    points = {name: row[:2] for name, row in zip(KEYPOINTS, shot.keypoints, strict=True)}
    chest = (points["Rsho"] + points["Lsho"] + points["Rhip"] + points["Lhip"]) / 4
    thighs = (points["Rhip"] + points["Rkne"]) / 2, (points["Lhip"] + points["Lkne"]) / 2
    colours = []
    for places in ([chest], thighs):
        patches = [shot.picture[int(y) - 4 : int(y) + 5, int(x) - 2 : int(x) + 3].reshape(-1, 3) for x, y in places]
        colours.append(np.concatenate(patches).mean(0))
    return np.concatenate(colours)


def test_another_pose_keeps_the_person(world):
    """Clothes alone find most people again, seen from the front in two poses."""
    rng = np.random.default_rng(0)
    views = [View(pid=3 * number, camid=0, index=0) for number in range(24)]  # no look-alikes
    first, second = (
        np.stack([outfit_colours(world.shoot(view, draw_pose(rng, yaw=rng.uniform(-0.3, 0.3)))) for view in views])
        for _ in range(2)
    )
    distances = np.linalg.norm(first[:, None] - second[None], axis=2)
    assert (distances.argmin(1) == np.arange(len(views))).mean() > 0.8


def test_keypoints_lie_on_the_person(world):
    on_body, seen, face = [], [], []
    for pid in range(40):
        shot = world.shoot(View(pid, camid=pid % 6, index=pid))
        near = grown(shot.person_mask, 3)
        visible = shot.keypoints[:, 2] == 1
        x, y = shot.keypoints[visible, :2].astype(int).T
        inside = (x >= 0) & (x < 64) & (y >= 0) & (y < 128)
        on_body += list(near[y[inside], x[inside]])
        seen += list(inside)
        face.append(visible[[0, 14, 15, 16, 17]])
        assert visible[1:14].all() and not shot.keypoints[~visible].any()
    assert np.mean(on_body) > 0.97 and np.mean(seen) > 0.97
    assert 0.2 < np.mean(face) < 0.95


@pytest.mark.parametrize(
    ("yaw", "hidden"), [(0.0, set()), (np.pi, {"nose", "Reye", "Leye"}), (np.pi / 2, {"Lear", "Leye"})]
)
def test_left_and_right_follow_the_yaw(world, yaw, hidden):
    """Facing the camera, the person's right is on the picture's left; from behind the other way round."""
    pose = replace(draw_pose(np.random.default_rng(1), yaw=yaw), head_yaw=0.0, head_pitch=0.0)
    points = dict(zip(KEYPOINTS, world.shoot(VIEW, pose).keypoints, strict=True))
    width = points["Lsho"][0] - points["Rsho"][0]
    assert {0.0: width > 8, np.pi: width < -8, np.pi / 2: abs(width) < 4}[yaw]
    assert all(points[name][2] == 0 for name in hidden)
    upright = ["neck", "Lhip", "Lkne", "Lank"]
    assert [points[name][1] for name in upright] == sorted(points[name][1] for name in upright)


def test_infrared_is_not_the_grey_picture(world):
    pose = draw_pose(np.random.default_rng(2), yaw=0.2)
    contrasts = []
    for pid in range(0, 60, 3):
        visible, infrared = (world.shoot(View(pid, 0, 0, infrared=flag), pose) for flag in (False, True))
        assert (infrared.picture == infrared.picture[..., :1]).all()
        assert not (visible.picture == visible.picture[..., :1]).all()
        assert np.array_equal(visible.person_mask, infrared.person_mask)
        grey = cv2.cvtColor(visible.picture, cv2.COLOR_RGB2GRAY).astype(float)
        contrasts.append([p[visible.person_mask].mean() for p in (grey, infrared.picture[..., 0])])
    # How bright a person is in infrared cannot be told from the grey picture.
    assert abs(np.corrcoef(np.transpose(contrasts))[0, 1]) < 0.8
    assert np.mean(np.abs(np.diff(contrasts, axis=1))) > 15


@pytest.mark.parametrize("kind", KINDS)
def test_occluders_hide_only_people(world, kind):
    hidden = []
    for index in range(12):
        view = View(pid=index, camid=0, index=index, occluder=kind)
        free, shot = world.shoot(replace(view, occluder="")), world.shoot(view)
        assert np.array_equal(free.person_mask, shot.person_mask)
        assert np.array_equal(free.keypoints, shot.keypoints)
        assert not free.occlusion_mask.any()
        assert not (shot.occlusion_mask & ~shot.person_mask).any()
        hidden.append(shot.occlusion_mask.sum() / shot.person_mask.sum())
        changed = np.abs(free.picture.astype(int) - shot.picture).max(2)
        if shot.occlusion_mask.sum() > 50:
            kept = shot.person_mask & ~grown(shot.occlusion_mask, JPEG_REACH)
            assert changed[shot.occlusion_mask].mean() > 5
            assert not kept.any() or changed[kept].mean() < 3
    assert 0.05 < np.mean(hidden) < 0.7 and max(hidden) < 1


def test_every_third_person_is_a_look_alike(world):
    for pid in range(2, 60, 3):
        person, twin = world.identity(pid - 1), world.identity(pid)
        changed = {field.name for field in fields(person) if getattr(person, field.name) != getattr(twin, field.name)}
        assert changed >= BODY - {"skin"}
        assert sum(bool(changed & piece) for piece in CLOTHES) <= 2
        assert changed <= BODY.union(*CLOTHES)
        assert twin.upper_fabric.base == person.upper_fabric.base
        strangers = world.identity(pid + 1), world.identity(pid + 2)
        assert all(other.upper_fabric != person.upper_fabric for other in strangers)


def test_identities_do_not_depend_on_the_order_of_asking(world):
    backwards = World(7)
    people = {pid: backwards.identity(pid) for pid in reversed(range(12))}
    assert all(world.identity(pid) == person for pid, person in people.items())


# Layouts on disk


def files_of(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def market(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("market")
    count = write_layout("market1501", root, seed=5, train_pids=2, test_pids=4, workers=1)
    assert count == len(files_of(root))
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


# Groups


@pytest.fixture(scope="module")
def group_folder(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("groups")
    write_groups(root, seed=3, num_groups=8, workers=1)
    return root


@pytest.fixture(scope="module")
def groups(group_folder) -> Groups:
    return read_groups(group_folder)


def test_groups_are_written_and_read(groups):
    assert (groups.pictures.shape, groups.pictures.dtype) == ((8, POSES, 128, 64, 3), np.uint8)
    assert (groups.keypoints.shape, groups.keypoints.dtype) == ((8, POSES, 18, 3), np.float32)
    assert (groups.labels.shape, groups.labels.dtype) == ((8, 4), np.int64)
    pictures, keypoints, labels = shoot_group(World(3), 5)
    assert np.array_equal(groups.pictures[5], pictures)
    assert np.array_equal(groups.keypoints[5], keypoints)
    assert np.array_equal(groups.labels[5], labels)
    assert groups.labels[:, 0].tolist() == [0, 0, 0, 1, 1, 1, 2, 2]
    assert groups.classes.tolist() == [2 * pid + infrared for pid, _, infrared, _ in groups.labels]


def test_a_group_is_one_person_at_one_place_in_several_poses():
    world, seen = World(8), {"infrared": set(), "occluded": set()}
    for index in range(8):
        pictures, keypoints, (_, _, infrared, occluded) = shoot_group(world, index)
        seen["infrared"].add(int(infrared))
        seen["occluded"].add(int(occluded))
        grey = (pictures == pictures[..., :1]).all((1, 2, 3))
        assert grey.all() == bool(infrared)
        assert all(np.abs(a - b).max() > 1 for a, b in combinations(keypoints, 2))
    assert seen == {"infrared": {0, 1}, "occluded": {0, 1}}


def test_unfinished_groups_are_refused(group_folder, tmp_path):
    for name in ("pictures.npy", "keypoints.npy", "labels.npy"):
        (tmp_path / name).write_bytes((group_folder / name).read_bytes())
    with pytest.raises(UserError, match="no finished groups"):
        read_groups(tmp_path)
    with pytest.raises(UserError, match="no finished groups"):
        read_groups(tmp_path / "nowhere")


def test_writing_again_unmarks_the_folder_first(tmp_path, monkeypatch):
    write_groups(tmp_path, seed=3, num_groups=1, workers=1)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("NFC.datasets.synthetic.groups.ProcessPoolExecutor", stop)
    with pytest.raises(KeyboardInterrupt):
        write_groups(tmp_path, seed=4, num_groups=1, workers=1)
    with pytest.raises(UserError, match="no finished groups"):
        read_groups(tmp_path)


def test_no_groups_are_refused(tmp_path):
    with pytest.raises(UserError, match="at least 1"):
        write_groups(tmp_path, seed=0, num_groups=0, workers=1)
