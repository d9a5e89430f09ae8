"""Official tensor lists, checkpoints filled by the recipe and the outputs of the official networks."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tests.golden.recipe import recipe

GOLDEN = Path(__file__).parents[2] / "golden"
INTEGERS = ("num_batches_tracked", "relative_position_index")


def place(name: str) -> Path:
    """A file of the golden figures, whichever their folder."""
    (path,) = GOLDEN.rglob(name)
    return path


def manifest(stem: str) -> dict[str, Tensor]:
    """The tensors of an official file, in its order, without values."""
    content = json.loads(place(f"{stem}_manifest.json").read_text(encoding="utf-8"))
    return {name: torch.empty(shape, device="meta") for name, shape in content}


def checkpoint(stem: str, wanted: Callable[[str], bool] = lambda name: True) -> dict[str, Tensor]:
    """An official file with recipe values, of the tensors whose names are wanted; the stem may have a folder."""
    return {
        name: torch.zeros(tensor.shape, dtype=torch.int64)
        if name.endswith(INTEGERS)
        else recipe(Path(stem).name, name, tensor.shape)
        for name, tensor in manifest(stem).items()
        if wanted(name)
    }


def golden(stem: str) -> dict[str, Tensor]:
    """Arrays of the official network, by name."""
    return {
        name: torch.from_numpy(array)
        for name, array in np.load(place(f"{stem}.npz")).items()
        if array.dtype.kind != "U"
    }


def shapes(tensors: dict[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def error(result: Tensor, expected: Tensor) -> float:
    """Largest difference, as a share of the largest expected number."""
    return float((result.detach().float() - expected).abs().max() / expected.abs().max())


def cosine_distance(result: Tensor, expected: Tensor) -> float:
    """The largest over all vectors (the last axis)."""
    return float((1 - torch.cosine_similarity(result.float(), expected, dim=-1)).max())
