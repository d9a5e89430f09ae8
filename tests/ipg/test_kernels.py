"""Norm and gate as one operator each: the kernels, run by Triton's interpreter, and their plain forms."""

import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from diffusers.models.activations import GEGLU
from torch import nn

from IPG.models.geglu import geglu
from IPG.models.group_norm import group_norm
from tests.commands import NEEDS_TRITON, interpreted


@NEEDS_TRITON
def test_the_kernels_equal_pytorch():
    errors = json.loads(interpreted(Path(__file__).parent / "kernels_interpreted.py"))
    assert len(errors) == 72 + 9 and not [case for case in errors if case[-1] > 1]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_norm_is_what_it_replaces(dtype):
    torch.manual_seed(0)
    norm, x = nn.GroupNorm(4, 24).to(dtype), torch.randn(2, 24, 5, 3, dtype=dtype)
    nn.init.normal_(norm.weight)
    shift = torch.randn(2, 24, dtype=dtype)
    found = group_norm(x, norm, silu=True, shift=shift)
    assert found.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(found, F.silu(norm(x + shift[:, :, None, None])))
    torch.testing.assert_close(group_norm(x, norm, silu=False), norm(x))


def test_the_gate_is_what_it_replaces():
    layer, inputs = GEGLU(6, 10), torch.randn(2, 3, 6)
    torch.testing.assert_close(geglu(layer.proj(inputs)), layer(inputs))


def test_shapes_are_known_without_computing():
    with torch.device("meta"):
        normed = group_norm(torch.empty(2, 24, 5, 3), nn.GroupNorm(4, 24), silu=True)
        assert geglu(torch.empty(2, 3, 20)).shape == (2, 3, 10)
    assert normed.shape == (2, 24, 5, 3) and normed.is_contiguous(memory_format=torch.channels_last)
