"""The distance of body parts, weighted by their visibility, as BPBReID and KPR define it."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from ..features.feature_set import FeatureSet
from ..features.kinds import PartFeatures
from ..features.kinds.parts import distance_block, require_same_parts
from .base import Matcher
from .distances import BetweenSets


@dataclass(frozen=True)
class PartDistances(BetweenSets[PartFeatures]):
    """`part_distances` of (Q, P, d) and (G, P, d) in blocks, float32; infinite where no part is visible in both."""

    def __getitem__(self, rows: Tensor) -> Tensor:
        return distance_block(self.query[rows], self.gallery)[0].float()


@dataclass(frozen=True)
class VisibleParts(Matcher):
    """Mean Euclidean distance over the parts, weighted by the visibility in both pictures."""

    name: ClassVar[str] = "parts"
    kinds: ClassVar[tuple[str, ...]] = (PartFeatures.kind,)

    def distances(self, query: FeatureSet, gallery: FeatureSet) -> PartDistances:
        require_same_parts(query.feats, gallery.feats)
        return PartDistances(query.feats, gallery.feats)
