"""The command line of scripts/plot_losses.py."""

import json

import numpy as np
import pytest

from NFC.commands.plot_losses import read_curve
from tests.commands import here


@pytest.fixture
def run(tmp_path):
    lines = [{"step": step, "loss": 1 / step} | ({"psnr": 20.0} if step == 4 else {}) for step in range(1, 201)]
    (tmp_path / "losses.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return tmp_path


def test_a_figure_is_written(run):
    assert here("plot-losses", f"generator={run}", "--out", str(run / "curves.svg")) == 0
    assert b"<svg" in (run / "curves.svg").read_bytes()


def test_points_are_means_of_a_fiftieth_of_the_run(run):
    steps, means = read_curve(run / "losses.jsonl", "loss")
    losses = 1 / np.arange(1, 201)
    np.testing.assert_array_equal(steps, np.arange(4, 201))
    np.testing.assert_allclose(means, [losses[i : i + 4].mean() for i in range(197)])
    assert [list(part) for part in read_curve(run / "losses.jsonl", "psnr")] == [[4], [20]]


@pytest.mark.parametrize(
    ("options", "told"), [([], "does not exist"), (["--metric", "accuracy"], "has no 'accuracy'; it has: step, loss")]
)
def test_what_cannot_be_drawn_is_one_line(options, told, run, capsys):
    folder = run if options else run / "nowhere"
    assert here("plot-losses", f"a={folder}", *options, "--out", str(run / "a.png")) == 2
    complaint = capsys.readouterr().err
    assert told in complaint and complaint.count("\n") == 1
