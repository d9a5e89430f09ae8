"""How commands end, whatever becomes of what they print."""

import subprocess
import sys

import pytest

from pose2id.errors import UserError, run_command
from tests.commands import ROOT


def refused() -> int:
    raise UserError("it is so")


@pytest.mark.parametrize(("main", "code"), [(lambda: print("done"), 0), (refused, 2)])
def test_closed_streams(monkeypatch, main, code):
    """As Python starts after `>&- 2>&-`."""
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    with pytest.raises(SystemExit) as left:
        run_command(main)
    assert left.value.code == code


def test_a_command_whose_output_is_closed():
    words = f"exec {sys.executable} -m pose2id --help >&-"
    done = subprocess.run(["sh", "-c", words], cwd=ROOT, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
