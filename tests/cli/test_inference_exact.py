"""Nothing but names, seed, settings and weights decides a picture: not batches, processes, or a killed run."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pose2id.pictures import read_picture
from tests.commands import finished

ROOT = Path(__file__).resolve().parents[2]
REFERENCES = 5


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("references")
    rng = np.random.default_rng(0)
    for i in range(REFERENCES):
        Image.fromarray(rng.integers(0, 256, (128, 64, 3), np.uint8)).save(folder / f"person{i}.png")
    return folder


@pytest.fixture(scope="module")
def command(mini_weights: Path, folder: Path) -> list[str]:
    poses = ROOT / "standard_poses"
    settings = ["--preset", "mini", "--steps", "2", "--device", "cpu"]
    places = ["--ckpt_dir", str(mini_weights), "--ref_dir", str(folder), "--pose_dir", str(poses)]
    return [str(ROOT / "inference.py"), *settings, *places]


@pytest.fixture(scope="module")
def expected(command, tmp_path_factory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("expected")
    run([sys.executable, *command, "--out_dir", str(out)])
    return contents(out)


def run(command: list[str]) -> str:
    """What the command wrote to stderr."""
    result = subprocess.run(command, cwd=ROOT, env=os.environ.copy(), capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    return result.stderr


def contents(out: Path) -> dict[str, bytes]:
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in finished(out)}


@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_the_batch_size_changes_nothing(command, expected, tmp_path, batch_size):
    run([sys.executable, *command, "--out_dir", str(tmp_path), "--batch_size", str(batch_size)])
    assert contents(tmp_path) == expected
    assert len(expected) == REFERENCES * (1 + 8)


def test_two_processes_share_the_work_and_draw_the_same(command, expected, tmp_path):
    launch = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1"]
    launch += ["--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
    progress = run([sys.executable, *launch, *command, "--out_dir", str(tmp_path)])
    assert "share 1 of 2" in progress
    assert contents(tmp_path) == expected


def test_a_killed_run_leaves_whole_pictures_and_goes_on(command, expected, tmp_path):
    process = subprocess.Popen(
        [sys.executable, *command, "--out_dir", str(tmp_path), "--batch_size", "1"], cwd=ROOT, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 120
    while not finished(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    survivors = finished(tmp_path)
    assert 0 < len(survivors) < len(expected)
    for path in survivors:
        read_picture(path)
    run([sys.executable, *command, "--out_dir", str(tmp_path)])
    assert contents(tmp_path) == expected
    assert not list(tmp_path.rglob(".*"))  # nothing half written is left


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_polite_stop_says_how_to_go_on(command, tmp_path, number, code):
    process = subprocess.Popen(
        [sys.executable, *command, "--out_dir", str(tmp_path), "--steps", "20", "--batch_size", "2"],
        cwd=ROOT,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # tests may run in the background
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 120
    while not (tmp_path / "manifest.json").is_file() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(number)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == code, errors
    assert "run the same command again to go on" in errors and "Traceback" not in errors
    for path in finished(tmp_path):
        read_picture(path)
