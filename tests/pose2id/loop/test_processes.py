"""Two real processes that share a batch take the steps of one."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.pose2id.loop.toys import losses_of, state_of, toy_loop

ROOT = Path(__file__).resolve().parents[3]
LAUNCH = [
    *("-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1"),
    *("--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"),
]


@pytest.fixture(scope="module")
def launched(tmp_path_factory) -> Path:
    """A folder with what two processes made."""
    folder = tmp_path_factory.mktemp("two")
    command = [sys.executable, *LAUNCH, "-m", "tests.pose2id.loop.two_processes", str(folder)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    assert "validation on 0 at [3, 6]" in result.stdout and "validation on 1 at [3, 6]" in result.stdout
    told = [line for line in result.stdout.splitlines() if line.startswith("process ")]
    assert sorted(told) == ["process 0 of 2 stopped at 2", "process 1 of 2 stopped at 2"]
    return folder


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> Path:
    """What one process makes with the whole batch."""
    folder = tmp_path_factory.mktemp("one")
    toy_loop(folder, batch_size=8)[0].run()
    return folder


@pytest.mark.parametrize("name", ["plain", "accumulated"])
def test_two_processes_with_parts_of_the_batch_are_one(launched, alone, name):
    together = losses_of(launched / name)
    assert [row["step"] for row in together] == [1, 2, 3, 4, 5, 6]
    validated = {row["step"]: row.pop("validation/step") for row in together if "validation/step" in row}
    assert validated == ({4: 4} if name == "plain" else {})
    for two, one in zip(together, losses_of(alone), strict=True):
        assert two == pytest.approx(one, rel=1e-5)
    two, one = state_of(launched / name), state_of(alone)
    for key, tensor in one["model"].items():
        assert torch.allclose(tensor, two["model"][key], atol=1e-6), key
    assert two["settings"] == one["settings"]


def test_validation_can_be_shared_by_all_processes(launched):
    calls = {row["step"]: row["validation/calls"] for row in losses_of(launched / "together") if row["step"] % 3 == 0}
    assert calls == {3: 1, 6: 2}


def test_all_processes_stop_with_one_and_one_goes_on_for_both(launched, alone):
    assert state_of(launched / "stopped")["step"] == 2
    resumed, exported = toy_loop(launched / "stopped", batch_size=8)
    resumed.run()
    assert len(exported) == 2  # after steps 3 and 6
    for two, one in zip(losses_of(launched / "stopped"), losses_of(alone), strict=True):
        assert two == pytest.approx(one, rel=1e-5)
