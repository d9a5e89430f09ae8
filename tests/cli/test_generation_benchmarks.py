"""scripts/soak.py and scripts/benchmark_gpu.py run, in small."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]


def run(script: str, *arguments: object) -> str:
    command = [sys.executable, str(ROOT / "scripts" / script), *map(str, arguments)]
    result = subprocess.run(command, cwd=ROOT, env=os.environ.copy(), capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_soak():
    shown = run("soak.py", "--references", 12, "--steps", 1, "--damaged", 0.34)
    assert "64 pictures in" in shown and "every damaged file is listed" in shown


def test_benchmark_gpu():
    shown = run(
        "benchmark_gpu.py", "--preset", "mini", "--references", 1, "--steps", 2, "--batch_sizes", 8, "--no_compile"
    )
    for row in (
        "official order of work, float32",
        "official order of work, bfloat16",
        "sdpa, eager, batch 8",
        "10 steps, dpm++",
        "guidance in",
        "features of every 2nd",
    ):
        assert row in shown, row
