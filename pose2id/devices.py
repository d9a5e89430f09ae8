"""The machine: this process among others, its device, its cores."""

import os

import torch
from accelerate import PartialState

from .errors import UserError


def this_process() -> PartialState:
    """This process among those that `accelerate launch` or `torchrun` started; without GPUs they share CPUs."""
    return PartialState(cpu=not torch.cuda.is_available())


def is_first_process() -> bool:
    """Whether this is the first of the processes that were started together, or the only one; starts nothing."""
    return os.environ.get("RANK", "0") == "0"


def pick_device(name: str | torch.device | None = None) -> torch.device:
    """The named device, or by default this process's GPU if there is one; `UserError` if it cannot be used."""
    try:
        return torch.empty(0, device=name or this_process().device).device
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"device '{name}' cannot be used here; leave it out, or try cpu") from error


def usable_cores() -> int:
    """CPU cores this process may run on; fewer than the machine has, in a container or under taskset."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
