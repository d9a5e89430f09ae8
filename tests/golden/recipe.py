"""Deterministic weights and inputs behind the golden files: value of a tensor from its checkpoint stem and name."""

from math import prod
from zlib import crc32

import numpy as np
import torch
from torch import Tensor, nn

SMALL = (
    "pos_embed",
    "cls_token",
    "sie_embed",
    "positional_embedding",
    "class_embedding",
    "cv_embed",
    "pos_embeding",
    "relative_position_bias_table",
    "parts_embed",
)


def fill(module: nn.Module, stem: str) -> None:
    """Overwrite every floating tensor of `module` by the recipe; integer tensors become 0."""
    for name, tensor in module.state_dict().items():
        tensor.copy_(torch.zeros_like(tensor) if not tensor.is_floating_point() else recipe(stem, name, tensor.shape))


def recipe(stem: str, name: str, shape: torch.Size) -> Tensor:
    w = np.random.Generator(np.random.PCG64(crc32(f"{stem}/{name}".encode()))).standard_normal(tuple(shape))
    w = w.astype(np.float32)
    if name.endswith("running_mean"):
        w = 0.1 * w
    elif name.endswith("running_var"):
        w = 1 + 0.1 * np.abs(w)
    elif name.rsplit(".", 1)[-1] in SMALL:
        w = 0.02 * w
    elif w.ndim >= 2:
        w = w / np.float32(np.sqrt(prod(shape[1:])))
    elif name.endswith("weight"):
        w = 1 + 0.1 * w
    else:
        w = 0.1 * w
    return torch.from_numpy(w.astype(np.float32))


def uniform(seed: int, low: float, high: float, shape: tuple[int, ...]) -> Tensor:
    return torch.from_numpy(np.random.Generator(np.random.PCG64(seed)).uniform(low, high, shape)).float()


def normal(seed: int, shape: tuple[int, ...]) -> Tensor:
    return torch.from_numpy(np.random.Generator(np.random.PCG64(seed)).standard_normal(shape)).float()
