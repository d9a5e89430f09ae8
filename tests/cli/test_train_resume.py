"""A killed train.py and the same command again: the steps of a run that nobody killed, bit for bit."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file

from NFC.datasets.synthetic.groups import write_groups

ROOT = Path(__file__).resolve().parents[2]


def losses_of(folder: Path) -> list[dict[str, float]]:
    path = folder / "losses.jsonl"
    text = path.read_text() if path.is_file() else ""
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


@pytest.fixture
def command(tmp_path) -> list[str]:
    write_groups(tmp_path / "groups", seed=0, num_groups=3, workers=1)
    return [
        *(sys.executable, str(ROOT / "train.py"), "--config", str(ROOT / "configs/train/ipg_mini.yaml")),
        *(f"data.groups={tmp_path / 'groups'}", f"data.cache={tmp_path / 'cache'}", "data.targets=1"),
        *("loop.precision=float32", "loop.lr_schedule=constant", "loop.warmup_steps=1", "loop.batch_size=1"),
        *("loop.checkpoint_every=3", "loop.log_every=1"),
    ]


def test_a_killed_training_goes_on_as_if_nothing_had_been(command, tmp_path):
    killed, straight = tmp_path / "killed", tmp_path / "straight"
    process = subprocess.Popen(
        [*command, f"loop.output_dir={killed}", "loop.max_train_steps=1000"], cwd=ROOT, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 300
    while len(losses_of(killed)) < 4 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()
    assert process.wait() == -9
    before = losses_of(killed)
    steps = len(before) + 1
    assert 4 <= len(before) < 1000

    for folder in (killed, straight):
        run = [*command, f"loop.output_dir={folder}", f"loop.max_train_steps={steps}"]
        result = subprocess.run(run, cwd=ROOT, env=os.environ.copy(), capture_output=True, text=True, timeout=300)
        assert result.returncode == 0, result.stderr
    losses = losses_of(straight)
    assert [row["step"] for row in losses] == list(range(1, steps + 1))
    assert losses_of(killed) == losses and losses[: steps - 1] == before
    assert len({row["loss"] for row in losses}) == steps
    for path in straight.glob("*.safetensors"):
        expected, found = load_file(path), load_file(killed / path.name)
        assert expected.keys() == found.keys() and all((expected[k] == found[k]).all() for k in expected), path.name
