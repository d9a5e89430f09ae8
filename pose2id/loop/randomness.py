"""Random numbers of a training step that do not depend on who computes it."""

import hashlib

import torch


def seed_of(*key: int | str) -> int:
    """A 64-bit seed that depends on all parts of `key`."""
    return int.from_bytes(hashlib.blake2b(repr(key).encode(), digest_size=8).digest())


def row_generators(seed: int, step: int, rows: range) -> list[torch.Generator]:
    """A generator on the CPU for each sample of a step; `rows` are their places in the batch of all processes."""
    return [torch.Generator().manual_seed(seed_of(seed, step, row)) for row in rows]
