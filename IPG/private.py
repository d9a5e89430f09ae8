"""What other libraries do not promise to keep, and why it is used: all that an upgrade of one may break.

Each has a test in tests/ipg/test_private.py.
"""

import copy
from typing import TypeVar

import torch

# The public `from_single_file` asks the hub for a configuration; ours is known.
from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint
from torch import nn

__all__ = ["allow_recompiling", "convert_ldm_vae_checkpoint", "move", "with_parts"]

Module = TypeVar("Module", bound=nn.Module)


def with_parts(module: Module, **parts: nn.Module | None) -> Module:
    """A module that has other parts and shares all the rest, tensors included; `module` itself stays as it is.

    `copy.deepcopy` would copy the tensors, and setting the parts of a shared module would disturb other threads.
    """
    twin = copy.copy(module)
    twin._modules = module._modules | parts
    return twin


def move(network: nn.Module, device: torch.device, dtype: torch.dtype, memory_format: torch.memory_format) -> None:
    """`nn.Module.to`, past that of diffusers' networks, which warns of an empty list of parts to keep in float32."""
    nn.Module.to(network, device, dtype, memory_format=memory_format)


def allow_recompiling(variants: int) -> None:
    """Let `torch.compile` keep this many variants of one function, in the whole process; 8 are usual.

    There is no public way to ask for more, and beyond the limit it falls back to the slow path without an error.
    """
    limits = torch._dynamo.config
    limits.recompile_limit = max(limits.recompile_limit, variants)
