"""The job that estimates poses: what it writes, how it goes on, what it refuses."""

import json
import multiprocessing
import os
import time

import numpy as np
import pytest
from PIL import Image

from IPG.poses import prepare as job
from IPG.poses import to_pixels
from IPG.poses.prepare import prepare
from IPG.poses.records import PoseRecord, read_kept, read_records, write_records
from IPG.poses.settings import PrepareConfig, resolve
from pose2id.errors import UserError
from pose2id.files import replacing
from pose2id.processes.locks import locked


def write_pictures(folder, sizes):
    """Pictures of noise; sizes: {name: (height, width)}."""
    rng = np.random.default_rng(0)
    for name, size in sizes.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(folder / name)


def write_keypoint_lines(path, poses):
    path.write_text(
        "".join(json.dumps({"path": n, "keypoints": np.array(k).tolist()}) + "\n" for n, k in poses.items())
    )
    return path


@pytest.fixture
def folder(tmp_path, standing):
    """Ten pictures in two folders with known keypoints, and the config of the job."""
    names = {f"{'ab'[i % 2]}/{i}.png": (128 + i, 64) for i in range(10)}
    write_pictures(tmp_path / "pictures", names)
    poses = {name: to_pixels(standing, size) for name, size in names.items()}
    poses["a/4.png"][:, 1] = 128 - poses["a/4.png"][:, 1]  # upside down
    lines = write_keypoint_lines(tmp_path / "lines.jsonl", poses)
    config = PrepareConfig(
        estimator="json", weights=str(lines), picture_dir=str(tmp_path / "pictures"), batch_size=3, height=64, width=32
    )
    return tmp_path, resolve(config), poses


def test_every_picture_gets_a_record_a_drawing_and_a_judgement(folder):
    tmp_path, config, poses = folder
    counts, failures = prepare(config)
    out = tmp_path / "pictures_poses"
    assert failures == [] and counts == {"pictures": 10, "kept": 9, "head below hips": 1}
    records = read_records(out / "keypoints.jsonl")
    assert [record.path for record in records] == sorted(poses)
    for record in records:
        np.testing.assert_allclose(record.keypoints, poses[record.path], atol=1e-3)
        assert (record.height, record.width) == (128 + int(record.path[2]), 64)
        assert Image.open(out / "pictures" / f"{record.path}.png").size == (32, 64)
    assert read_kept(out / "kept.jsonl") == poses.keys() - {"a/4.png"}
    assert json.loads((out / "cleaning.json").read_text()) == counts
    assert Image.open(out / "dropped.png").height == 128


def test_a_killed_run_goes_on_and_loses_at_most_the_batch_in_hand(folder, monkeypatch):
    tmp_path, config, poses = folder
    config.out_dir = str(tmp_path / "whole")
    prepare(config)
    config.out_dir = str(tmp_path / "killed")
    real, asked = job.build_estimator, []

    def dying(*arguments):
        estimator = real(*arguments)

        def estimate(names, pictures):
            if len(asked) == 6:
                raise KeyboardInterrupt
            asked.extend(names)
            return estimator(names, pictures)

        return estimate

    monkeypatch.setattr(job, "build_estimator", dying)
    with pytest.raises(KeyboardInterrupt):
        prepare(config)
    part = tmp_path / "killed/keypoints.jsonl.part0"
    assert len(read_records(part)) == 6
    part.write_text(part.read_text()[:-30])  # as if killed in the middle of the sixth line
    asked.append("no more deaths")
    prepare(config)
    assert asked[7:] == sorted(poses)[5:]
    for name in ("keypoints.jsonl", "kept.jsonl", "cleaning.json"):
        assert (tmp_path / "killed" / name).read_text() == (tmp_path / "whole" / name).read_text()
    assert not list((tmp_path / "killed").glob("*.part*"))


def test_other_thresholds_clean_again_without_estimating(folder, monkeypatch):
    _, config, _ = folder
    prepare(config)
    real = job.build_estimator
    monkeypatch.setattr(job, "build_estimator", lambda *arguments: lambda names, pictures: pytest.fail(f"{names}"))
    config.clean.min_height = 132
    counts, _ = prepare(config)
    assert counts["small"] == 4 and counts["kept"] == 5
    monkeypatch.setattr(job, "build_estimator", real)
    config.height = 128  # the pose pictures there have another size
    with pytest.raises(UserError, match="size was 64 x 32, now 128 x 32"):
        prepare(config)


def test_unreadable_pictures_are_named_and_tried_again(folder):
    tmp_path, config, _ = folder
    (tmp_path / "pictures/a/2.png").write_bytes(b"no picture")
    counts, failures = prepare(config)
    assert counts["pictures"] == 9 and len(failures) == 1 and "a/2.png" in failures[0]
    write_pictures(tmp_path / "pictures", {"a/2.png": (128, 64)})
    counts, failures = prepare(config)
    assert counts["pictures"] == 10 and failures == []


def test_changed_pictures_are_estimated_again(folder, monkeypatch):
    tmp_path, config, _ = folder
    prepare(config)
    estimated, build = [], job.build_estimator

    def noting(*arguments):
        estimator = build(*arguments)
        return lambda names, pictures: estimated.extend(names) or estimator(names, pictures)

    monkeypatch.setattr(job, "build_estimator", noting)
    monkeypatch.setattr(job, "check_keypoints", lambda *_: None)
    later = time.time() + 60
    os.utime(tmp_path / "pictures/a/0.png", (later, later))  # as copying leaves it
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (129, 64, 3), np.uint8)).save(
        tmp_path / "pictures/b/1.png"
    )
    os.utime(tmp_path / "pictures/b/1.png", (later, later))
    counts, failures = prepare(config)
    assert estimated == ["b/1.png"] and counts["pictures"] == 10 and failures == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "either dataset_dir"),
        ({"picture_dir": "p", "dataset_dir": "d"}, "either dataset_dir"),
        ({"picture_dir": "p", "dataset": "market1501"}, "needs dataset_dir"),
        (
            {"picture_dir": "p", "splits": ["query"]},
            "splits goes with dataset_dir, a data set; give that, or leave out",
        ),
        ({"picture_dir": "p", "estimator": "alphapose"}, "vitpose, openpose, json"),
        ({"picture_dir": "p", "estimator": "json"}, "needs weights"),
        ({"picture_dir": "p", "batch_size": 0}, "batch_size is 0"),
        ({"picture_dir": "p", "out_dir": "p/poses"}, "out_dir p/poses lies in the folder of pictures p"),
    ],
)
def test_configs_that_cannot_work_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        resolve(PrepareConfig(**options))


def test_missing_weights_say_where_to_get_them(tmp_path):
    for estimator, repository in (("vitpose", "usyd-community/vitpose"), ("openpose", "lllyasviel/Annotators")):
        with pytest.raises(UserError, match=f"(?s)download.*{repository}.*--preset mini"):
            job.build_estimator(estimator, tmp_path)


def test_records_round_trip_and_a_cut_line_is_told(tmp_path, standing):
    path = tmp_path / "keypoints.jsonl"
    records = [PoseRecord(f"{i}.jpg", 64, 128, 0.25, to_pixels(standing, (128, 64))) for i in range(3)]
    write_records(path, records)
    for record, back in zip(records, read_records(path), strict=True):
        assert (record.path, record.width, record.height, record.sharpness) == (
            back.path,
            back.width,
            back.height,
            back.sharpness,
        )
        np.testing.assert_allclose(record.keypoints, back.keypoints, atol=1e-3)
    path.write_text(path.read_text()[:-20])
    assert len(read_records(path, partial=True)) == 2
    with pytest.raises(UserError, match="line 3 holds no pose"):
        read_records(path)


def test_one_run_at_a_time_and_nothing_is_left_of_killed_ones(folder):
    tmp_path, config, poses = folder
    out = tmp_path / "pictures_poses"
    with replacing(out / "keypoints.jsonl") as partial:
        left = out / partial.parent.name.replace(str(os.getpid()), "999999999")
    left.mkdir(parents=True)
    processes = multiprocessing.get_context("fork")
    ready = processes.Event()
    other = processes.Process(target=hold, args=(out, ready))
    other.start()
    assert ready.wait(30)
    try:
        with pytest.raises(UserError, match="pictures_poses is in use by another run"):
            prepare(config)
    finally:
        other.kill()
        other.join()
    prepare(config)
    assert len(read_records(out / "keypoints.jsonl")) == len(poses)
    assert not [path for path in out.iterdir() if path.name.startswith(".")]


def hold(folder, ready):
    with locked(folder):
        ready.set()
        time.sleep(600)
