"""scripts/soak.py, scripts/gpu_check.py and `pose2id bench gpu` run, in small."""

import pytest

from tests.commands import program

pytestmark = pytest.mark.slow


def run(*words: object) -> str:
    result = program(*words)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_soak():
    shown = run("scripts/soak.py", "--references", 12, "--steps", 1, "--damaged", 0.34)
    assert "64 pictures in" in shown and "every damaged file is listed" in shown


def test_benchmark_gpu():
    small = ["--preset", "mini", "--references", 1, "--steps", 2, "--batch_sizes", 8, "--no_compile"]
    shown = run("-m", "pose2id", "bench", "gpu", *small)
    for row in (
        "official order of work, float32",
        "official order of work, bfloat16",
        "sdpa, eager, batch 8",
        "10 steps, dpm++",
        "guidance in",
        "features of every 2nd",
    ):
        assert row in shown, row


def test_gpu_check():
    shown = run("scripts/gpu_check.py", "--small")
    assert shown.count("equal in 100.000% of the rows") == 2 and shown.count("mAP differs by") == 2
    for row in ("2 steps with guidance", "a student's 4 steps", "k-reciprocal, 364", "31,250 x 256", "samples/s"):
        assert row in shown, row
    assert "no time left" in run("scripts/gpu_check.py", "--small", "--seconds", "1")
