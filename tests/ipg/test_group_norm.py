"""Group normalization as one operator: the kernel, run by Triton's interpreter, and the operator's plain form."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from IPG.models.group_norm import group_norm

SCRIPT = Path(__file__).parent / "group_norm_interpreted.py"
ROOT = SCRIPT.parents[2]


@pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not there")
def test_the_kernel_equals_pytorch():
    variables = os.environ | {"TRITON_INTERPRET": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(SCRIPT)]
    result = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    errors = json.loads(result.stdout)
    assert len(errors) == 72 and not [case for case in errors if case[-1] > 1]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_operator_is_what_it_replaces(dtype):
    torch.manual_seed(0)
    norm, x = nn.GroupNorm(4, 24).to(dtype), torch.randn(2, 24, 5, 3, dtype=dtype)
    nn.init.normal_(norm.weight)
    shift = torch.randn(2, 24, dtype=dtype)
    found = group_norm(x, norm, silu=True, shift=shift)
    assert found.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(found, F.silu(norm(x + shift[:, :, None, None])))
    torch.testing.assert_close(group_norm(x, norm, silu=False), norm(x))


def test_its_shape_is_known_without_computing():
    found = group_norm(torch.empty(2, 24, 5, 3, device="meta"), nn.GroupNorm(4, 24, device="meta"), silu=True)
    assert found.shape == (2, 24, 5, 3) and found.is_contiguous(memory_format=torch.channels_last)
