import pytest
import torch

from IPG.execution import execution_for

HALF = "channels-last, references in batches"


@pytest.mark.parametrize(
    ("device", "dtype", "said"),
    [
        ("cpu", torch.float32, "contiguous, references one by one, plain norms and projections"),
        ("cpu", torch.bfloat16, "channels-last, references one by one, plain norms and projections"),
        (
            "cuda",
            torch.float32,
            "contiguous, references in batches, plain norms and projections, small batches replayed",
        ),
        ("cuda", torch.float16, f"{HALF}, fused norms and projections, small batches replayed"),
        ("mps", torch.float16, f"{HALF}, plain norms and projections"),
    ],
)
def test_what_a_device_does(device, dtype, said, monkeypatch):
    monkeypatch.setattr("IPG.execution.runs_triton", lambda device: True)
    assert str(execution_for(torch.device(device), dtype)) == said


def test_where_kernels_do_not_run_nothing_is_fused(monkeypatch):
    monkeypatch.setattr("IPG.execution.runs_triton", lambda device: False)
    assert not execution_for(torch.device("cuda"), torch.bfloat16).fused
