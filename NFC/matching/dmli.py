"""Distances of stripes: of the whole picture, of its stripes along the shortest path (DMLI), or both."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from pose2id.errors import UserError

from ..features.feature_set import FeatureSet
from ..features.kinds import StripeFeatures
from ..features.kinds.stripes import aligned_distances, require_same_stripes, whole_distances
from .base import Matcher
from .distances import BetweenSets

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
    stripe are of unit length first.
    """

    name: ClassVar[str] = "dmli"
    kinds: ClassVar[tuple[str, ...]] = (StripeFeatures.kind,)

    distance: str = "global_local"
    aligned: bool = True
    squared: bool = True
    normalized: bool = True

    def __post_init__(self) -> None:
        if self.distance not in self._terms:
            raise UserError(f"dmli: unknown distance '{self.distance}'; choose one of: {', '.join(self._terms)}")

    @property
    def label(self) -> str:
        said = {", unaligned": not self.aligned, ", not normalised": self.raw}
        return self.distance.replace("_", " + ") + "".join(word for word, holds in said.items() if holds)

    @property
    def raw(self) -> bool:
        return not self.normalized

    def distances(self, query: FeatureSet, gallery: FeatureSet) -> StripeDistances:
        require_same_stripes(query.feats, gallery.feats, self.aligned)
        return StripeDistances(query.feats, gallery.feats, self._terms[self.distance])

    @property
    def _terms(self) -> dict[str, tuple[Term, ...]]:
        def whole(query: StripeFeatures, gallery: StripeFeatures) -> Tensor:
            return whole_distances(query, gallery, self.squared)

        def local(query: StripeFeatures, gallery: StripeFeatures) -> Tensor:
            return aligned_distances(query, gallery, self.aligned)

        return {"global": (whole,), "local": (local,), "global_local": (whole, local)}
