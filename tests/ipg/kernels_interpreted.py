"""Run by test_kernels.py in a process of its own, with TRITON_INTERPRET=1: the kernels against PyTorch in float64."""

import itertools
import json

import torch

from IPG.models.geglu import plain_geglu
from IPG.models.group_norm import plain_group_norm
from IPG.models.kernels import geglu_kernel, group_norm_kernel

SIZES = [  # batch, channels, height, width, groups
    (2, 320, 4, 3, 32),
    (1, 96, 5, 7, 32),
    (1, 24, 3, 5, 3),
    (2, 64, 1, 1, 32),
    (1, 8, 130, 65, 8),  # more tiles than slices
    (1, 160, 9, 9, 2),  # a group wider than a run
]


DTYPES = torch.float32, torch.bfloat16, torch.float16


def norm_error(size: tuple[int, ...], dtype: torch.dtype, silu: bool, shifted: bool) -> float:
    batch, channels, height, width, groups = size
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(batch, channels, height, width, generator=generator) * 3 + 20
    others = [torch.randn(*shape, generator=generator) for shape in ((channels,), (channels,), (batch, channels))]
    x, weight, bias, shift = (tensor.to(dtype) for tensor in (x, *others))
    x, shift = x.contiguous(memory_format=torch.channels_last), shift if shifted else None
    found = group_norm_kernel(x, weight, bias, groups, 1e-5, silu, shift)
    assert found.is_contiguous(memory_format=torch.channels_last)
    exact = [tensor if tensor is None else tensor.double() for tensor in (x, weight, bias, shift)]
    return error(found, plain_group_norm(*exact[:3], groups, 1e-5, silu, exact[3]), dtype)


def gate_error(shape: tuple[int, ...], dtype: torch.dtype) -> float:
    both = (4 * torch.randn(*shape, generator=torch.Generator().manual_seed(0))).to(dtype)
    return error(geglu_kernel(both), plain_geglu(both.double()), dtype)


def error(found: torch.Tensor, expected: torch.Tensor, dtype: torch.dtype) -> float:
    """The largest difference, in what rounding to `dtype` may change."""
    assert found.dtype == dtype and found.shape == expected.shape
    allowed = torch.finfo(dtype).eps * expected.abs() + 1e-4  # the interpreter adds one number after the other
    return float(((found.double() - expected).abs() / allowed).max())


if __name__ == "__main__":
    norms = list(itertools.product(SIZES, DTYPES, (False, True), (False, True)))
    gates = list(itertools.product([(2, 3, 64), (1, 9, 600), (5, 2)], DTYPES))
    found = [(case, norm_error(*case)) for case in norms] + [(case, gate_error(*case)) for case in gates]
    print(json.dumps([(str(case), difference) for case, difference in found]))
