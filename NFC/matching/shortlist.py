"""Costly matchers behind a cheap shortlist: only each query's nearest gallery pictures are compared anew."""

from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from pose2id.devices import AtOnce
from pose2id.errors import UserError

from ..features.feature_set import FeatureSet
from ..neighbours.distances import nearest_columns
from .base import Matcher
from .distances import Distances

BLOCK = AtOnce(cpu=2**22, gpu=2**26)  # distances


@dataclass(frozen=True)
class RescoredDistances:
    """Cheap distances (Q, G) in which each query's `candidates` (Q, K) come first, by their `scores` (Q, K).

    All others follow in the order of the cheap distances.
    """

    cheap: Distances
    candidates: Tensor
    scores: Tensor

    @property
    def shape(self) -> tuple[int, int]:
        return tuple(self.cheap.shape)

    @property
    def device(self) -> torch.device:
        return self.cheap.device

    def __getitem__(self, rows: Tensor) -> Tensor:
        block, scores = self.cheap[rows].double(), self.scores[rows].double()
        block += scores.amax(1, keepdim=True) - block.amin(1, keepdim=True) + 1
        return block.scatter_(1, self.candidates[rows], scores)


@dataclass(frozen=True)
class ShortlistMatcher(Matcher):
    """Compares each query with the `shortlist` gallery pictures that `cheap` puts first.

    Which share of the true matches these are stands in `NFC.scoring.scores.Scores`, beside mAP, which depends on it.
    """

    shortlist: int = 100

    def __post_init__(self) -> None:
        if self.shortlist < 1:
            raise UserError(f"{self.name} needs a shortlist of at least 1 picture, got {self.shortlist}")

    @abstractmethod
    def cheap(self, query: FeatureSet, gallery: FeatureSet) -> Distances:
        """The distances (Q, G) that the shortlist is taken from."""

    @abstractmethod
    def rescore(self, query: FeatureSet, gallery: FeatureSet, candidates: Tensor) -> Tensor:
        """(Q, K) distances of each query to its candidates (Q, K) int64, gallery indices, cheapest first."""

    def distances(self, query: FeatureSet, gallery: FeatureSet) -> RescoredDistances:
        cheap = self.cheap(query, gallery)
        candidates = nearest_by(cheap, self.shortlist)
        return RescoredDistances(cheap, candidates, self.rescore(query, gallery, candidates))


def nearest_by(distances: Distances, k: int) -> Tensor:
    """(Q, min(k, G)) int64: the nearest gallery pictures of each query, nearest first; ties go to the lower index."""
    queries, items = distances.shape
    rows = torch.arange(queries, device=distances.device).split(BLOCK.rows(items, distances.device))
    return torch.cat([nearest_columns(distances[part], k)[1] for part in rows])
