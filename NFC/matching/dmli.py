"""Distances of stripes: of the whole picture, of its stripes along the shortest path (DMLI), or both."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from pose2id.errors import UserError

from ..features.feature_set import FeatureSet
from ..features.kinds import StripeFeatures
from ..features.kinds.stripes import aligned_distances, require_same_stripes, whole_distances
from .base import Matcher
from .distances import BetweenSets, Distances
from .shortlist import RescoredDistances, nearest_by

Term = Callable[[StripeFeatures, StripeFeatures], Tensor]


@dataclass(frozen=True)
class StripeDistances(BetweenSets[StripeFeatures]):
    """The sum of the `terms`, for those rows alone that somebody asks for."""

    terms: tuple[Term, ...]

    def __getitem__(self, rows: Tensor) -> Tensor:
        query = self.query[rows]
        first, *others = (term(query, self.gallery) for term in self.terms)
        return sum(others, first)


@dataclass(frozen=True)
class DMLI(Matcher):
    """Global and local distances as AlignedReID++ adds them up at test time, weights 1.

    distance: "global", "local" or "global_local". aligned: along the shortest path; else stripe by stripe. squared: the
    global distance, as AlignedReID++ has it; AlignedReID does not square it. normalized: whether the whole and each
    stripe are of unit length first. shortlist: how many gallery pictures, those whose wholes are nearest, a query is
    compared with; 0 for all. With one the result is another, as the others follow in the order of the wholes.
    """

    name: ClassVar[str] = "dmli"
    kinds: ClassVar[tuple[str, ...]] = (StripeFeatures.kind,)

    distance: str = "global_local"
    aligned: bool = True
    squared: bool = True
    normalized: bool = True
    shortlist: int = 0

    def __post_init__(self) -> None:
        if self.shortlist < 0:
            raise UserError(f"dmli: shortlist cannot be below 0, got {self.shortlist}")
        if self.distance not in self._terms:
            raise UserError(f"dmli: unknown distance '{self.distance}'; choose one of: {', '.join(self._terms)}")

    @property
    def label(self) -> str:
        said = {", unaligned": not self.aligned, ", not normalised": self.raw}
        return self.distance.replace("_", " + ") + "".join(word for word, holds in said.items() if holds)

    @property
    def raw(self) -> bool:
        return not self.normalized

    def distances(self, query: FeatureSet, gallery: FeatureSet) -> Distances:
        own, other = query.feats, gallery.feats
        require_same_stripes(own, other, self.aligned)
        if not self.shortlist:
            return StripeDistances(own, other, self._terms[self.distance])
        wholes = StripeDistances(own, other, self._terms["global"])
        candidates = nearest_by(wholes, self.shortlist)
        rows = torch.arange(len(own), device=own.device)
        pairs = ((own[row[None]], other[candidates[row]]) for row in rows)
        scores = [StripeDistances(*pair, self._terms[self.distance])[rows[:1]] for pair in pairs]
        return RescoredDistances(wholes, candidates, torch.cat(scores))

    @property
    def _terms(self) -> dict[str, tuple[Term, ...]]:
        def whole(query: StripeFeatures, gallery: StripeFeatures) -> Tensor:
            return whole_distances(query, gallery, self.squared)

        def local(query: StripeFeatures, gallery: StripeFeatures) -> Tensor:
            return aligned_distances(query, gallery, self.aligned)

        return {"global": (whole,), "local": (local,), "global_local": (whole, local)}
