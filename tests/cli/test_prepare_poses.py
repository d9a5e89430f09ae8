"""scripts/prepare_poses.py and scripts/select_poses.py through the command line, on the weights that are shipped."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from IPG.poses import read_keypoints, read_pose_picture
from IPG.poses.error import joint_errors, share_within
from IPG.poses.records import read_kept, read_records
from NFC.datasets.synthetic import View, World
from NFC.datasets.synthetic.layouts import write_layout
from tests.commands import ROOT, here

SEED = 4000


def command(script: str, *arguments: object) -> list[str]:
    return [sys.executable, str(ROOT / "scripts" / script), *map(str, arguments)]


def run(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(script, *arguments), capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture
def run_here(capsys):
    """Runs a command in this process; returns its exit code, what it prints and what it complains of."""

    def run_command(*words: object) -> tuple[int, str, str]:
        return here("poses", *words), *capsys.readouterr()

    return run_command


def write_people(folder: Path, count: int) -> dict[str, np.ndarray]:
    """Pictures of a world that no training saw, and their keypoints by name."""
    folder.mkdir()
    world, truth = World(SEED), {}
    for pid in range(count):
        shot = world.shoot(View(pid, pid, 0, infrared=pid % 3 == 0))
        Image.fromarray(shot.picture).save(folder / f"{pid:02}.png")
        truth[f"{pid:02}.png"] = shot.keypoints - np.float32([0.5, 0.5, 0])
    return truth


def test_a_folder_of_pictures(tmp_path):
    truth = write_people(tmp_path / "people", 12)
    (tmp_path / "people/broken.png").write_bytes(b"no picture")
    result = run("prepare_poses.py", "--preset", "mini", "--picture_dir", tmp_path / "people", "--batch_size", 5)
    assert result.returncode == 1 and result.stdout.startswith("pictures: 12, kept: ")
    assert "broken.png" in result.stderr and "Traceback" not in result.stderr
    records = read_records(tmp_path / "people_poses/keypoints.jsonl")
    errors = [joint_errors(record.keypoints, truth[record.path]) for record in records]
    assert share_within(np.array(errors)) > 0.9
    assert len(read_kept(tmp_path / "people_poses/kept.jsonl")) >= 11
    assert read_pose_picture(tmp_path / "people_poses/pictures/03.png.png").size == (64, 128)
    assert len(json.loads((tmp_path / "people_poses/manifest.json").read_text())["failures"]) == 1


def test_from_a_data_set_to_standard_poses(tmp_path, run_here):
    root = tmp_path / "market"
    write_layout("market1501", root, SEED, 6, 2, 1)
    assert run_here("prepare", "--preset", "mini", "--dataset_dir", root, "--splits", "train", "--no-draw")[0] == 0
    select = ("--preset", "mini", "--dataset_dir", root, "--confidence", 0.1)
    code, printed, _ = run_here("select", *select, "--count", 3, "--out_dir", tmp_path / "out")
    assert code == 0
    chosen = [line.split(": ")[1] for line in printed.splitlines()]
    assert len({name.split("/")[1][:4] for name in chosen}) == 3  # one of each of three people
    assert set(chosen) <= read_kept(tmp_path / "market_poses/kept.jsonl")
    assert list(read_keypoints(tmp_path / "out/keypoints.json")) == ["pose1", "pose2", "pose3"]
    assert read_pose_picture(tmp_path / "out/pose3.png").size == (64, 128)
    assert not (tmp_path / "market_poses/pictures").exists()
    code, _, complaint = run_here("select", *select, "--count", 7)
    assert code == 2 and "7 poses are wanted" in complaint


def test_without_weights_it_is_told_what_to_get(tmp_path, run_here):
    write_people(tmp_path / "people", 1)
    code, _, complaint = run_here("prepare", "--picture_dir", tmp_path / "people", "--weights", tmp_path / "none")
    assert code == 2 and "huggingface.co/usyd-community/vitpose" in complaint and "--preset mini" in complaint
    assert not (tmp_path / "people_poses").exists()


@pytest.mark.slow
def test_a_run_killed_outright_ends_as_one_that_was_not(tmp_path):
    write_people(tmp_path / "people", 60)
    arguments = ("--preset", "mini", "--picture_dir", tmp_path / "people", "--batch_size", 2)
    run("prepare_poses.py", *arguments, "--out_dir", tmp_path / "whole")
    process = subprocess.Popen(command("prepare_poses.py", *arguments, "--out_dir", tmp_path / "killed"))
    part = tmp_path / "killed/keypoints.jsonl.part0"
    while process.poll() is None and not (part.is_file() and part.stat().st_size):
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert part.is_file()
    assert run("prepare_poses.py", *arguments, "--out_dir", tmp_path / "killed").returncode == 0
    for name in ("keypoints.jsonl", "kept.jsonl"):
        assert (tmp_path / "killed" / name).read_text() == (tmp_path / "whole" / name).read_text()


@pytest.mark.slow
def test_two_processes_write_what_one_does(tmp_path):
    write_people(tmp_path / "people", 9)
    arguments = ("--preset", "mini", "--picture_dir", tmp_path / "people", "--batch_size", 2)
    run("prepare_poses.py", *arguments, "--out_dir", tmp_path / "one")
    launch = [
        *(sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"),
        *("--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"),
    ]
    both = [*launch, *command("prepare_poses.py", *arguments, "--out_dir", tmp_path / "two")[1:]]
    result = subprocess.run(
        both, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=False
    )
    assert result.returncode == 0, result.stderr
    assert "5/5" in result.stderr  # the first process's share of 9
    one, two = (read_records(tmp_path / name / "keypoints.jsonl") for name in ("one", "two"))
    assert [record.path for record in one] == [record.path for record in two]
    for first, second in zip(one, two, strict=True):
        np.testing.assert_allclose(first.keypoints, second.keypoints, atol=0.01)
