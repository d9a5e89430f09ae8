"""What every step is: features of query and gallery in, better ones out."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from enum import Enum
from typing import ClassVar

from ..features.feature_set import FeatureSet
from ..features.kinds import Features


class Side(Enum):
    """Which sets a step is applied to."""

    none = "none"
    gallery = "gallery"
    query = "query"
    both = "both"

    def covers(self, split: str) -> bool:
        return self is Side.both or self.value == split


@dataclass(frozen=True)
class Step(ABC):
    """A frozen dataclass of a step's own numbers, which it checks when it is made.

    `kinds` are those of `KINDS` that it is defined for; none named means all. A step that looks at query and gallery
    together derives from this class, others from `OneSetStep`.
    """

    name: ClassVar[str]  # key of `STEPS`
    kinds: ClassVar[tuple[str, ...]] = ()

    @property
    @abstractmethod
    def label(self) -> str:
        """Its part of a row's name in a table."""

    @abstractmethod
    def apply(self, query: FeatureSet, gallery: FeatureSet) -> tuple[FeatureSet, FeatureSet]:
        """Both sets with other features. They come L2-normalised and leave so."""


@dataclass(frozen=True)
class OneSetStep(Step):
    """A step that refines each set by itself, as together they would leak who is who; `on` says which."""

    on: Side = Side.both

    @abstractmethod
    def refine(self, features: FeatureSet, split: str) -> Features:
        """The features of one split, "query" or "gallery", refined; not normalised again."""

    def apply(self, query: FeatureSet, gallery: FeatureSet) -> tuple[FeatureSet, FeatureSet]:
        return self.on_split(query, "query"), self.on_split(gallery, "gallery")

    def on_split(self, features: FeatureSet, split: str) -> FeatureSet:
        """The features of one split after this step, normalised; as they are where it is not `on` that split."""
        if not self.on.covers(split):
            return features
        return replace(features, feats=self.refine(features, split).normalized())
