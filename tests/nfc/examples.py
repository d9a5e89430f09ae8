"""Small random features of every kind, for the tests that go over registries."""

import torch

from NFC.features.feature_set import FeatureSet
from NFC.features.kinds import KINDS, Features

PEOPLE = 5


def example(kind: str, *shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Features:
    """Members of `kind` with these leading axes, numbers in (0, 1)."""
    size, sizes = KINDS[kind].example
    flat = torch.rand(*shape, size, generator=torch.Generator().manual_seed(seed))
    return KINDS[kind].unflatten(flat.to(dtype), *sizes)


def example_set(kind: str, count: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> FeatureSet:
    """Samples of a few people from two cameras, with two generated pictures each."""
    pids = torch.arange(count) % PEOPLE
    camids = torch.arange(count) // PEOPLE % 2
    feats, generated = (example(kind, *shape, seed=seed, dtype=dtype) for shape in ((count,), (count, 2)))
    return FeatureSet(feats, pids, camids, generated)
