"""The Jaccard distance of sets (MoS), and its penalty for patterns that never go together on one person."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from pose2id.errors import UserError
from pose2id.settings.ranges import Range, check_ranges

from ..features.feature_set import FeatureSet
from ..features.kinds import SetFeatures
from ..features.kinds.sets import jaccard_distances
from .conflicts import read_conflicts
from .distances import BetweenSets, Distances
from .shortlist import ShortlistMatcher


@dataclass(frozen=True)
class JaccardDistances(BetweenSets[SetFeatures]):
    """1 - J of (Q, C) and (G, C) in blocks of queries."""

    @classmethod
    def between(cls, query: SetFeatures, gallery: SetFeatures) -> "JaccardDistances":
        """`UserError` for numbers below 0, NaN, infinity, empty sets or sizes that differ."""
        query, gallery = query.check("query"), gallery.check("gallery")
        if query.size != gallery.size:
            raise UserError(f"query and gallery sets differ in size: {query.size} and {gallery.size}")
        return cls(query, gallery.to(query.device))

    def __getitem__(self, rows: Tensor) -> Tensor:
        return jaccard_distances(self.query.values[rows], self.gallery.values)


@dataclass(frozen=True)
class Jaccard(ShortlistMatcher):
    """Every pair of sets, exactly; nothing but a block of distances is in memory.

    conflict: a file that `pose2id conflicts` wrote. With it the `shortlist` nearest of each query are ranked anew by
    1 - J + lambda * CP, and come before all others. lambda_value: instead of that in the file.
    Off by default: MoS has the penalty, but reports no gain by it, and where we measured it there was none.
    """

    name: ClassVar[str] = "jaccard"
    kinds: ClassVar[tuple[str, ...]] = (SetFeatures.kind,)

    conflict: str | None = None
    lambda_value: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranges(self, {"lambda_value": Range(0, 1e6)}, self.name)

    @property
    def label(self) -> str:
        return "jaccard, conflicts" if self.conflict else "jaccard"

    def distances(self, query: FeatureSet, gallery: FeatureSet) -> Distances:
        return super().distances(query, gallery) if self.conflict else self.cheap(query, gallery)

    def cheap(self, query: FeatureSet, gallery: FeatureSet) -> JaccardDistances:
        return JaccardDistances.between(query.feats, gallery.feats)

    def rescore(self, query: FeatureSet, gallery: FeatureSet, candidates: Tensor) -> Tensor:
        compared = self.cheap(query, gallery)
        conflicts = read_conflicts(Path(self.conflict or ""), compared.query.size).to(compared.device)
        weight = conflicts.lambda_value if self.lambda_value is None else self.lambda_value
        scores = []
        for row, (own, listed) in enumerate(zip(compared.query.values, candidates, strict=True)):
            others = compared.gallery.values[listed]
            distance = jaccard_distances(compared.query.values[row : row + 1], others)[0].double()
            scores.append(distance + weight * conflicts.penalty(own.expand_as(others), others))
        return torch.stack(scores)
