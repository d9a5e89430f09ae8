"""Several pictures of a person in a job: which are chosen, where the pictures go, what may not be mixed."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from IPG.job.plan import make_plan
from IPG.job.references import Look, choose, facing, look_at
from IPG.job.run import generate
from IPG.job.settings import GenerationConfig, resolve
from IPG.poses.records import PoseRecord, write_records
from pose2id.errors import UserError
from tests.ipg.job.folders import Written, assert_same_pictures, read_all
from tests.nfc.toy import write_market

FRONT, BACK = np.array([1.0, 0.0]), np.array([-1.0, 0.0])


@pytest.fixture
def people(config, reference_folder) -> GenerationConfig:
    """Beside three single pictures two people with a folder each, of two and of ten pictures."""
    rng = np.random.default_rng(5)
    for name, count in (("ann", 2), ("bob", 10)):
        (reference_folder / name).mkdir()
        for number in range(count):
            pixels = rng.integers(0, 256, (128, 64, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(reference_folder / name / f"{number}.png")
    return config


@pytest.fixture
def market(mini_weights, pose_folder, tmp_path) -> GenerationConfig:
    write_market(tmp_path / "market")
    places = {"ckpt_dir": str(mini_weights), "pose_dir": str(pose_folder), "dataset_dir": str(tmp_path / "market")}
    return resolve(GenerationConfig("mini", **places, steps=1, device="cpu", references_per_person=2))


def test_a_folder_is_a_person(people, tmp_path):
    assert generate(people) == []
    made = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").glob("pose1/*")}
    assert made == {f"pose1/{name}" for name in ("a.jpg", "b.png", "c.jpg", "ann.png", "bob.png")}
    told = json.loads((tmp_path / "out/manifest.json").read_text())["references"]
    assert told["ann.png"] == "0.png 1.png" and len(told["bob.png"].split()) == 8 and len(told) == 2
    notes = make_plan(people).notes
    assert any("ann is one person: 2 pictures are seen" in note for note in notes)
    assert any("bob is one person: 8 of 10 pictures are seen" in note for note in notes)
    assert Image.open(tmp_path / "out/ann.png").size == (5 * 64, 128)


def test_a_picture_that_cannot_be_read_is_named_and_the_others_serve(people, market, tmp_path, reference_folder):
    (reference_folder / "bob/3.png").write_bytes(b"")
    failures = generate(people)
    assert len(failures) == 1 and "bob/3.png" in failures[0]
    told = json.loads((tmp_path / "out/manifest.json").read_text())["references"]["bob.png"].split()
    assert len(told) == 8 and "3.png" not in told
    broken = sorted((tmp_path / "market/bounding_box_test").glob("0001*"))[0]
    broken.write_bytes(b"")
    failures = generate(market)
    assert len(failures) == 1 and broken.name in failures[0]
    made = sorted(path.name for path in (tmp_path / "market/bounding_box_test_gen/pose1").iterdir())
    people_there = [p.name for p in (tmp_path / "market/bounding_box_test").iterdir() if not p.name.startswith("0000")]
    assert made == sorted({*people_there} - {broken.name})


def test_single_pictures_are_drawn_as_ever(people, tmp_path, reference_folder):
    generate(people)
    for name in ("ann", "bob"):
        shutil.rmtree(reference_folder / name)
    generate(replace(people, out_dir=str(tmp_path / "alone")))
    together, alone = read_all(tmp_path / "out"), read_all(tmp_path / "alone")
    assert_same_pictures({name: together[name] for name in alone}, alone)


def test_a_stopped_run_goes_on_and_another_choice_is_refused(people, tmp_path, reference_folder):
    generate(people)
    before, written = read_all(tmp_path / "out"), Written(tmp_path / "out")
    (tmp_path / "out/pose1/ann.png").unlink()
    generate(people)
    assert written.look() == {"pose1/ann.png"}
    assert_same_pictures(before, read_all(tmp_path / "out"))
    shutil.copy(reference_folder / "b.png", reference_folder / "ann/2.png")
    with pytest.raises(UserError, match=r"ann\.png was 0\.png 1\.png, now 0\.png 1\.png 2\.png"):
        generate(people)


def test_folders_of_an_earlier_version_have_one_reference_each(people, tmp_path):
    generate(people)
    manifest = tmp_path / "out/manifest.json"
    content = json.loads(manifest.read_text())
    del content["references"]
    manifest.write_text(json.dumps(content))
    with pytest.raises(UserError, match="drawn from one reference, now from several"):
        generate(people)


def test_what_goes_wrong_with_a_person_is_told(people, tmp_path, reference_folder):
    (reference_folder / "ann/1.png").write_bytes(b"")
    (line,) = generate(people)
    assert "ann/1.png" in line and not (tmp_path / "out/pose1/ann.png").exists()
    (reference_folder / "b").mkdir()
    with pytest.raises(UserError, match="are one person; rename one of them"):
        generate(people)
    (reference_folder / "b").rename(reference_folder / "empty")
    with pytest.raises(UserError, match="empty holds no pictures"):
        generate(people)


def test_people_of_a_data_set(market, tmp_path):
    """Pictures of a person in one split are seen together; who has one picture has one reference."""
    plan = make_plan(market)
    seen = {task.name: [path.name[:4] for path in task.references] for job in plan.jobs for task in job.tasks}
    assert {len(pids) for pids in seen.values()} == {1, 2}
    assert all(len(set(pids)) == 1 for pids in seen.values())
    for job in plan.jobs:
        for task in job.tasks:
            assert task.references[0].name == task.name
            assert len({path.parent for path in task.references}) == 1
    assert len(plan.notes) == 1 and "have no pose in" in plan.notes[0] and "sharpness alone" in plan.notes[0]
    generate(market)
    with pytest.raises(UserError, match="references_per_person was 2, now 1"):
        generate(replace(market, references_per_person=1))


def keypoints_of(standing: np.ndarray, turn: str) -> np.ndarray:
    """The figure from the front, from behind (mirrored), or in profile, where both shoulders are at one place."""
    points = standing.copy()
    points[:, :2] *= [64, 128]
    if turn == "back":
        points[:, 0] = 64 - points[:, 0]
    if turn == "profile":
        points[[2, 5], 0] = points[1, 0]
        points[0, 0] -= 5
    return points


def test_where_a_figure_faces(standing):
    front, back, profile = (facing(keypoints_of(standing, turn)) for turn in ("front", "back", "profile"))
    assert front @ back < -0.9 and abs(front @ profile) < 0.3
    assert profile[1] < -0.9  # to the left
    hidden = keypoints_of(standing, "front")
    hidden[2, 2] = 0
    assert facing(hidden) is None and facing(np.zeros((18, 3))) is None


def test_poses_decide_in_a_data_set_that_has_them(market, tmp_path, standing):
    gallery = sorted(p.name for p in (tmp_path / "market/bounding_box_test").iterdir() if p.name.startswith("0003"))
    first, *_ = gallery
    records = []
    for folder in ("query", "bounding_box_test"):
        for path in (tmp_path / "market" / folder).iterdir():
            points = keypoints_of(standing, "front" if path.name == first else "back")
            records.append(PoseRecord(f"{folder}/{path.name}", 8, 16, 0.5, points / [8, 8, 1]))
    (tmp_path / "market_poses").mkdir()
    write_records(tmp_path / "market_poses/keypoints.jsonl", records)
    plan = make_plan(market)
    assert plan.notes == []
    (task,) = (task for job in plan.jobs for task in job.tasks if task.name == first)
    assert [path.name for path in task.references] == gallery[:2]


def test_the_choice_is_sharp_whole_and_of_another_side():
    looks = [Look(1.0, 1.0, FRONT), Look(1.0, 1.0, FRONT), Look(0.9, 1.0, BACK), Look(0.9, 0.3, BACK), Look(0.1)]
    assert choose(looks, 0, 2) == [0, 2]  # the other side
    assert choose(looks, 0, 3) == [0, 2, 1]
    assert choose(looks, 2, 2)[1] in (0, 1)
    assert choose(looks, 0, 9) == [0, 2, 1, 3, 4]
    assert choose(looks, 4, 1) == [4]
    assert choose([Look(0.0), Look(0.0)], 0, 2) == [0, 1]


def test_without_poses_pictures_are_read_for_their_sharpness(tmp_path):
    sharp = Image.fromarray(np.random.default_rng(0).integers(0, 256, (128, 64, 3), dtype=np.uint8))
    places: list[Path] = []
    for name, picture in (("sharp", sharp), ("blurred", sharp.filter(ImageFilter.GaussianBlur(3)))):
        picture.save(tmp_path / f"{name}.png")
        places.append(tmp_path / f"{name}.png")
    looks, faults = look_at([*places, tmp_path / "none.png"], {})
    assert list(faults) == [tmp_path / "none.png"] and list(looks) == places
    assert looks[places[0]].sharpness > 2 * looks[places[1]].sharpness and looks[places[0]].facing is None
