import pytest
import torch

from pose2id import devices
from pose2id.devices import runs_triton, trial_kernel


@pytest.fixture(autouse=True)
def forgotten():
    runs_triton.cache_clear()
    yield
    runs_triton.cache_clear()


def test_a_cpu_runs_no_kernels(monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    assert not runs_triton(torch.device("cpu")) and not runs_triton(torch.device("mps"))


def test_a_gpu_on_which_triton_fails_is_one_without_it(monkeypatch):
    def broken(device):
        raise RuntimeError("Failed to find C compiler")

    monkeypatch.setattr(trial_kernel, "try_kernel", broken)
    assert not devices.runs_triton(torch.device("cuda"))
    runs_triton.cache_clear()
    monkeypatch.setattr(trial_kernel, "try_kernel", lambda device: True)
    assert devices.runs_triton(torch.device("cuda"))
