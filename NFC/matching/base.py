"""What every matcher is: the refined features of two sets in, their distances out."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from ..features.feature_set import FeatureSet
from .distances import Distances


@dataclass(frozen=True)
class Matcher(ABC):
    """A frozen dataclass of a matcher's own numbers, which it checks when it is made.

    `kinds` are those of `KINDS` that it compares. One that is too costly for all pairs derives from
    `NFC.matching.shortlist.ShortlistMatcher`.
    """

    name: ClassVar[str]  # key of `MATCHERS`
    kinds: ClassVar[tuple[str, ...]]

    @property
    def label(self) -> str:
        """Its part of a row's name in a table."""
        return self.name

    @property
    def raw(self) -> bool:
        """Whether it compares features as the network gives them, and not normalised."""
        return False

    @abstractmethod
    def distances(self, query: FeatureSet, gallery: FeatureSet) -> Distances:
        """(Q, G) distances of normalised features, or of `raw` ones; pids are not looked at.

        May depend on the whole gallery.
        """
