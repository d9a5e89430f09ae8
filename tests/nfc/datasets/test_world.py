"""The synthetic world and its ground truth."""

from dataclasses import fields, replace
from itertools import combinations

import cv2
import numpy as np
import pytest

from NFC.datasets.synthetic import Shot, View, World
from NFC.datasets.synthetic.occluders import KINDS
from NFC.datasets.synthetic.pose import KEYPOINTS, draw_pose

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
