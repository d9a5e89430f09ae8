"""Neighbour feature centralization: Algorithm 1 of Pose2ID, arXiv 2503.00938."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from pose2id.arrays import Array
from pose2id.errors import UserError

from ..features.feature_set import FeatureSet
from ..features.kinds import Features, as_kind, like
from .base import OneSetStep


def NFC(feats: Array | Features, k1: int = 2, k2: int = 2, approximate: bool = False) -> Array | Features:
    """Neighbour feature centralization: add to each feature its mutual nearest neighbours (Algorithm 1).

    Sample j counts for i if j is among the k1 nearest of i and i among the k2 nearest of j:
    f_i <- f_i + sum of the counted f_j, all originals, added in the order of their indices. Distances are squared
    Euclidean, a sample is not its own neighbour, ties go to the lower index; k1 and k2 beyond N - 1 mean all others.
    One sample returns itself.

    feats: (N, d) floating, NumPy or torch, any device, or another kind of `NFC.features.kinds`, which says what is near
    and what a sum is. Used as they are: normalise before and after in evaluation.
    approximate: find neighbours with faiss, if that is installed: faster for millions, and nearly the same.
    Returns (N, d) of the same kind, dtype and device; half precision is summed in float32.
    Raises `UserError` (a ValueError) for k < 1, NaN, infinity, a wrong number of axes or no samples.
    Source: Pose2ID, arXiv 2503.00938, Algorithm 1.
    """
    original = as_kind(feats, "feats")
    _check(k1, k2)
    return like(original.sums(members(original.nearest(max(k1, k2), approximate), k1, k2)), feats)


def members(neighbours: Tensor, k1: int, k2: int) -> Tensor:
    """(N, K) int64, nearest first, -1 for none -> (N, 1 + min(k1, K)): who is summed for each, ascending, then -1.

    Samples that are mutual neighbours of each other have the same members, in the same order: their sums are equal to
    the last bit, and so are their ranks.
    """
    count = len(neighbours)
    sample = torch.arange(count, device=neighbours.device)[:, None]
    listed = torch.cat([sample, mutual_neighbours(neighbours, k1, k2)], dim=1)
    ascending = listed.masked_fill(listed < 0, count).sort(dim=1).values
    return ascending.masked_fill(ascending == count, -1)


def mutual_neighbours(neighbours: Tensor, k1: int, k2: int) -> Tensor:
    """(N, K) int64, nearest first, -1 for none -> (N, min(k1, K)), -1 where i is not among the k2 nearest of j."""
    sample = torch.arange(len(neighbours), device=neighbours.device)
    mutual = neighbours[:, :k1].clone()
    for candidate in mutual.unbind(1):
        candidate[(candidate >= 0) & (neighbours[candidate, :k2] != sample[:, None]).all(1)] = -1
    return mutual


def _check(k1: int, k2: int) -> None:
    if min(k1, k2) < 1:
        raise UserError(f"k1 and k2 must be at least 1, got k1={k1}, k2={k2}")


@dataclass(frozen=True)
class NeighbourCentralization(OneSetStep):
    """Algorithm 1 for the sets that `on` names, each by itself; k2 may exceed k1."""

    name: ClassVar[str] = "nfc"

    k1: int = 2
    k2: int = 2

    def __post_init__(self) -> None:
        _check(self.k1, self.k2)

    @property
    def label(self) -> str:
        return f"nfc {self.on.value}"

    def refine(self, features: FeatureSet, split: str) -> Features:
        return NFC(features.feats, self.k1, self.k2)
