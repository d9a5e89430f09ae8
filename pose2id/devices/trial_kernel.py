"""The least that Triton can do: whether it does tells whether other kernels may be used."""

import torch
import triton
import triton.language as tl


def try_kernel(device: torch.device) -> bool:
    """Run it; raises whatever Triton does where it cannot."""
    number = torch.zeros((), dtype=torch.int32, device=device)
    with torch.cuda.device_of(number):
        _add_one[(1,)](number)
    return int(number) == 1


@triton.jit
def _add_one(number):
    tl.store(number, tl.load(number) + 1)
