"""Running commands, in this process or in one of their own, and what they leave."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from pose2id.cli import main

NEEDS_TRITON = pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not there")
LARGE = pytest.mark.xdist_group("large")  # tests that need gigabytes, and so run one after the other
ROOT = Path(__file__).resolve().parents[1]


def here(*words: object) -> int:
    """The exit code of `pose2id words`, in this process, which saves seconds."""
    with pytest.raises(SystemExit) as left:
        main([str(word) for word in words])
    return left.value.code


def program(*words: object, launcher: tuple[str, ...] = (), **environment: str) -> subprocess.CompletedProcess[str]:
    """`python words` in a process of its own, in the checkout; words[0] is a script of it, or `-m`."""
    command = [sys.executable, *launcher, *map(str, words)]
    return subprocess.run(
        command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, timeout=300, check=False
    )


def interpreted(script: Path) -> str:
    """What a script of these tests prints, in a process of its own in which Triton's kernels are interpreted."""
    result = program(script, TRITON_INTERPRET="1", PYTHONPATH=str(ROOT))
    assert result.returncode == 0, result.stderr
    return result.stdout


def finished(folder: Path, pattern: str = "*.png") -> list[Path]:
    """Files of a folder; a hidden one, or one in a hidden folder, was being written when its process was killed.

    Hidden folders, which come and go while a process still writes, are not looked into.
    """
    files = []
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        files += [Path(place, name) for name in names if not name.startswith(".")]
    return [path for path in files if path.relative_to(folder).match(pattern)]
