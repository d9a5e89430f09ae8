"""Distances of two sets, given in blocks of rows, so that no Q x G matrix need be in memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import torch
from torch import Tensor

from pose2id.arrays import as_feature_pair

from ..features.kinds import Features

Thing = TypeVar("Thing", Tensor, Features)


class Distances(Protocol):
    """(Q, G), smaller is nearer, infinity allowed; a plain tensor is one too."""

    @property
    def shape(self) -> Sequence[int]: ...

    @property
    def device(self) -> torch.device: ...

    def __getitem__(self, rows: Tensor) -> Tensor:
        """rows (B,) int64 -> (B, G) floating."""


@dataclass(frozen=True)
class BetweenSets(Generic[Thing]):
    """What distances computed from two sets of features have in common; `__getitem__` is theirs."""

    query: Thing
    gallery: Thing

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.query), len(self.gallery)

    @property
    def device(self) -> torch.device:
        return self.query.device


@dataclass(frozen=True)
class EuclideanDistances(BetweenSets[Tensor]):
    """Squared Euclidean distances of (Q, d) and (G, d); ranking finds their order without writing them down."""

    @classmethod
    def between(cls, query: Features, gallery: Features) -> "EuclideanDistances":
        """Of features as vectors; `UserError` for those that cannot be compared."""
        return cls(*as_feature_pair(query.as_vectors(), gallery.as_vectors()))

    def __getitem__(self, rows: Tensor) -> Tensor:
        exact = torch.cdist(
            self.query[rows].double(), self.gallery.double(), compute_mode="donot_use_mm_for_euclid_dist"
        )
        return exact.square_()
