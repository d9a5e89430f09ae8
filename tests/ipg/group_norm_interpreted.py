"""Run by test_group_norm.py in a process of its own, with TRITON_INTERPRET=1: the kernel against PyTorch."""

import itertools
import json

import torch

from IPG.models.group_norm import plain_group_norm
from IPG.models.group_norm_kernel import group_norm_kernel

SIZES = [  # batch, channels, height, width, groups
    (2, 320, 4, 3, 32),
    (1, 96, 5, 7, 32),
    (1, 24, 3, 5, 3),
    (2, 64, 1, 1, 32),
    (1, 8, 130, 65, 8),  # more tiles than slices
    (1, 160, 9, 9, 2),  # a group wider than a run
]


def error(size: tuple[int, ...], dtype: torch.dtype, silu: bool, shifted: bool) -> float:
    """The largest difference from float64, in what rounding to `dtype` may change."""
    batch, channels, height, width, groups = size
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(batch, channels, height, width, generator=generator) * 3 + 20
    others = [torch.randn(*shape, generator=generator) for shape in ((channels,), (channels,), (batch, channels))]
    x, weight, bias, shift = (tensor.to(dtype) for tensor in (x, *others))
    x, shift = x.contiguous(memory_format=torch.channels_last), shift if shifted else None
    found = group_norm_kernel(x, weight, bias, groups, 1e-5, silu, shift)
    assert found.dtype == dtype and found.is_contiguous(memory_format=torch.channels_last)
    exact = [tensor if tensor is None else tensor.double() for tensor in (x, weight, bias, shift)]
    expected = plain_group_norm(*exact[:3], groups, 1e-5, silu, exact[3])
    allowed = torch.finfo(dtype).eps * expected.abs() + 1e-4  # the interpreter adds one number after the other
    return float(((found.double() - expected).abs() / allowed).max())


if __name__ == "__main__":
    dtypes = torch.float32, torch.bfloat16, torch.float16
    cases = itertools.product(SIZES, dtypes, (False, True), (False, True))
    print(json.dumps([[*map(str, case), error(*case)] for case in cases]))
