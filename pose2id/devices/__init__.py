"""The machine: this process among others, its device, its cores."""

import os
from functools import cache
from typing import NamedTuple

import torch
from accelerate import PartialState

from ..errors import UserError

COMPUTING = ("cpu", "cuda", "mps", "xpu")  # kinds of devices; others hold no numbers, or need libraries of their own


def this_process() -> PartialState:
    """This process among those that `accelerate launch` or `torchrun` started; without GPUs they share CPUs."""
    return PartialState(cpu=not torch.cuda.is_available())


def is_first_process() -> bool:
    """Whether this is the first of the processes that were started together, or the only one; starts nothing."""
    return os.environ.get("RANK", "0") == "0"


def pick_device(name: str | torch.device | None = None) -> torch.device:
    """The named device, or by default this process's GPU if there is one; `UserError` if it cannot be used."""
    told = f"device '{name}' cannot be used here; leave it out, or try cpu"
    try:
        device = torch.device(name or this_process().device)
        if device.type not in COMPUTING:
            raise UserError(told)
        return torch.zeros(1, device=device).device
    except (RuntimeError, AssertionError, ImportError, NotImplementedError) as error:
        raise UserError(told) from error


@cache
def runs_triton(device: torch.device) -> bool:
    """Whether Triton's kernels run there: that takes Triton, a C compiler, and a GPU it knows, or its interpreter."""
    if device.type != "cuda" and os.environ.get("TRITON_INTERPRET") != "1":
        return False
    try:
        from .trial_kernel import try_kernel

        return try_kernel(device)
    except Exception:  # of whatever kind: the plain way is always there
        return False


class AtOnce(NamedTuple):
    """How many numbers are computed at once: on a CPU what stays in its caches, on a GPU what fills it.

    Only time and memory depend on it.
    """

    cpu: int
    gpu: int

    def on(self, device: torch.device) -> int:
        return self.cpu if device.type == "cpu" else self.gpu

    def rows(self, width: int, device: torch.device) -> int:
        """Rows of `width` numbers in a block, at least one."""
        return max(1, self.on(device) // width)


def usable_cores() -> int:
    """CPU cores this process may run on; fewer than the machine has, in a container or under taskset."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
