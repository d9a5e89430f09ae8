"""What there is to learn from: which pictures make pairs, and what is said when there are none."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from IPG.training.data import DataConfig, build_material, group_material, hold_out
from NFC.datasets.synthetic.groups import Groups, read_groups, write_groups
from pose2id.errors import UserError
from tests.ipg.training.small import noise_material, write_poses

PEOPLE = {2: 4, 7: 3, 9: 1, 11: 2}  # pid -> training pictures


@pytest.fixture
def market(tmp_path: Path, standing: np.ndarray) -> Path:
    """A Market1501 of noise with poses; one of the pictures of pid 11 and one of pid 2 are not kept."""
    root = tmp_path / "market"
    for split in ("bounding_box_train", "query", "bounding_box_test"):
        (root / split).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for pid, count in PEOPLE.items():
        for number in range(count):
            picture = Image.fromarray(rng.integers(0, 256, (60, 30, 3), dtype=np.uint8))
            picture.save(root / f"bounding_box_train/{pid:04}_c{number + 1}s1_{number:06}_00.jpg")
    for split in ("query", "bounding_box_test"):
        picture.save(root / f"{split}/0001_c1s1_000000_00.jpg")
    train = sorted((root / "bounding_box_train").iterdir())
    standing[4, 2] = 0.2  # a wrist that is not sure
    write_poses(tmp_path / "market_poses", root, train, standing, dropped=(train[0], train[-1]))
    return root


def config_of(root: Path, **options: object) -> DataConfig:
    return DataConfig(dataset="market1501", dataset_dir=str(root), **options)


def test_pairs_are_kept_pictures_of_one_person(market):
    material = build_material(config_of(market))
    found = {person.pid: (set(person.references), set(person.targets)) for person in material.people}
    assert found == {2: ({0, 1, 2}, {0, 1, 2}), 7: ({3, 4, 5}, {3, 4, 5})}
    assert len(material) == 6
    names = sorted(path.name for path in (market / "bounding_box_train").iterdir())
    expected = [name for name in names[1:-1] if name.startswith(("0002", "0007"))]
    for number, name in enumerate(expected):
        with Image.open(market / "bounding_box_train" / name) as picture:
            assert np.array_equal(np.asarray(material.read(number)), np.asarray(picture.convert("RGB")))
    assert "10 training pictures, 8 of them kept" in material.summary
    assert "6 pictures of 2 people, 2 left out" in material.summary


def test_poses_are_normalised_and_unsure_joints_are_missing(market, standing):
    material = build_material(config_of(market))
    assert np.allclose(material.keypoints[5][[0, 1, 17], :2], standing[[0, 1, 17], :2], atol=1e-3)
    assert (material.keypoints[:, 4, 2] == 0).all() and (material.keypoints[:, 5, 2] == 1).all()
    surer = build_material(config_of(market, confidence=0.1))
    assert (surer.keypoints[:, 4, 2] == np.float64(0.2)).all()


def test_infrared_and_visible_pictures_are_no_pair(tmp_path, standing):
    root = tmp_path / "sysu"
    for camera in range(1, 7):
        for pid in (1, 2, 3):
            (root / f"cam{camera}/{pid:04}").mkdir(parents=True)
            for number in (1, 2):
                Image.new("RGB", (20, 40)).save(root / f"cam{camera}/{pid:04}/{number:04}.jpg")
    (root / "exp").mkdir()
    for name, pids in (("train_id", "1"), ("val_id", "2"), ("test_id", "3")):
        (root / f"exp/{name}.txt").write_text(pids)
    write_poses(tmp_path / "sysu_poses", root, sorted(root.glob("cam*/*/*.jpg")), standing)
    material = build_material(DataConfig(dataset="sysu_mm01", dataset_dir=str(root)))
    assert sorted((person.pid, len(person.targets)) for person in material.people) == [(1, 4), (1, 8), (2, 4), (2, 8)]


def test_a_folder_of_ones_own(tmp_path, standing):
    for split, pid in (("train", "ann"), ("train", "bob"), ("query", "cy"), ("gallery", "cy")):
        (tmp_path / "own" / split / pid).mkdir(parents=True)
        for number in range(3):
            Image.new("RGB", (20, 40)).save(tmp_path / "own" / split / pid / f"{number}.png")
    paths = sorted((tmp_path / "own").glob("*/*/*.png"))
    write_poses(tmp_path / "elsewhere", tmp_path / "own", paths, standing)
    config = DataConfig(dataset="custom", dataset_dir=str(tmp_path / "own"), poses_dir=str(tmp_path / "elsewhere"))
    assert [len(person.targets) for person in build_material(config).people] == [3, 3]


def test_changed_pictures_have_another_digest(market):
    before = build_material(config_of(market)).digest
    assert build_material(config_of(market)).digest == before
    Image.new("RGB", (30, 60)).save(market / "bounding_box_train/0007_c1s1_000000_00.jpg")
    assert build_material(config_of(market)).digest != before


def test_without_poses_the_command_is_told(market):
    command = f"pose2id poses prepare --dataset market1501 --dataset_dir {market}"
    (market.with_name("market_poses") / "kept.jsonl").unlink()
    with pytest.raises(UserError, match=f"holds no kept.jsonl; run: {command}$"):
        build_material(config_of(market))
    with pytest.raises(UserError, match=f"holds no keypoints.jsonl; run: {command} --out_dir nowhere$"):
        build_material(config_of(market, poses_dir="nowhere"))


def test_poses_of_another_data_set(market, standing, tmp_path):
    other = tmp_path / "other_poses"
    write_poses(other, market, sorted((market / "query").iterdir()), standing)
    with pytest.raises(UserError, match=r"other_poses keeps no training picture .* another data set"):
        build_material(config_of(market, poses_dir=str(other)))
    material = build_material(config_of(market))
    Image.new("RGB", (64, 128)).save(market / "bounding_box_train/0007_c1s1_000000_00.jpg")
    with pytest.raises(UserError, match="64 x 128, but its pose is of a picture of 30 x 60"):
        material.read(3)


def test_nobody_with_two_pictures(market, standing):
    lonely = sorted((market / "bounding_box_train").glob("0009*"))
    write_poses(market.with_name("market_poses"), market, lonely, standing)
    with pytest.raises(UserError, match="no pairs"):
        build_material(config_of(market))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, "name either"),
        ({"groups": "a", "dataset_dir": "b"}, "name either"),
        ({"groups": "a", "dataset": "market1501"}, "needs data.dataset_dir"),
        ({"dataset_dir": "nowhere"}, "nowhere does not exist"),
        ({"groups": "nowhere"}, "pose2id synthetic --layout groups"),
        ({"groups": "nowhere", "targets": 0}, "targets is 0; it must be from 1"),
    ],
)
def test_configs_that_cannot_work(options, told):
    with pytest.raises(UserError, match=told):
        build_material(DataConfig(**options))


# Groups


@pytest.fixture(scope="module")
def groups(tmp_path_factory) -> Groups:
    """Six groups; the first three are called occluded."""
    folder = tmp_path_factory.mktemp("groups")
    write_groups(folder, seed=0, num_groups=6, workers=1)
    read = read_groups(folder)
    labels = np.array(read.labels)
    labels[:, 3] = [1, 1, 1, 0, 0, 0]
    return replace(read, labels=labels)


def test_groups_of_pictures(groups):
    material = group_material(groups)
    assert len(material) == 24 and [person.pid for person in material.people] == [0, 0, 0, 1, 1, 1]
    for number, person in enumerate(material.people):
        own = list(range(4 * number, 4 * number + 4))
        occluded = number < 3
        assert person.references.tolist() == (own[:1] if occluded else own)
        assert person.targets.tolist() == (own[1:] if occluded else own)
    assert np.array_equal(np.asarray(material.read(17)), groups.pictures[4, 1])
    assert np.allclose(material.keypoints[17, :, :2] * [64, 128], groups.keypoints[4, 1, :, :2], atol=1e-4)
    assert np.array_equal(material.keypoints[17, :, 2], groups.keypoints[4, 1, :, 2])


def test_other_pictures_have_another_digest(groups):
    assert group_material(groups).digest != group_material(replace(groups, pictures=groups.pictures[::-1])).digest


# Held-out people


def test_held_out_people_are_in_no_pair(standing):
    people = [[2 * number, 2 * number + 1] for number in range(20)]
    material = noise_material(standing, people)
    learnt, held_out = hold_out(material, 0.25)
    pids = [{person.pid for person in side.people} for side in (learnt, held_out)]
    assert not pids[0] & pids[1] and pids[0] | pids[1] == set(range(20)) and len(pids[1]) == 5
    assert {person.pid for person in hold_out(material, 0.25)[1].people} == pids[1]
    assert len(learnt) == len(material)


@pytest.mark.parametrize("share", [0.01, 0.99])
def test_both_sides_need_people(standing, share):
    with pytest.raises(UserError, match="both sides need some"):
        hold_out(noise_material(standing, [[0, 1], [2, 3]]), share)
