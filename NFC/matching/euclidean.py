"""Euclidean distance of vectors; for L2-normalised ones it ranks as the cosine similarity does.

Other kinds are compared through the vectors that stand for them, where these are their own distance.
"""

from dataclasses import dataclass
from typing import ClassVar

from ..features.feature_set import FeatureSet
from ..features.kinds import ColumnFeatures, MapFeatures, SetFeatures, VectorFeatures
from .base import Matcher
from .distances import EuclideanDistances


@dataclass(frozen=True)
class Euclidean(Matcher):
    """Every pair of vectors, of those of the whole pictures, or of sets as they are; only a block is in memory.

    normalized: whether vectors are of unit length first; some authors compare them as they are.
    """

    name: ClassVar[str] = "euclidean"
    kinds: ClassVar[tuple[str, ...]] = (
        VectorFeatures.kind,
        MapFeatures.kind,
        ColumnFeatures.kind,
        SetFeatures.kind,
    )

    normalized: bool = True

    @property
    def label(self) -> str:
        return self.name if self.normalized else f"{self.name}, not normalised"

    @property
    def raw(self) -> bool:
        return not self.normalized

    def distances(self, query: FeatureSet, gallery: FeatureSet) -> EuclideanDistances:
        return EuclideanDistances.between(query.feats, gallery.feats)
