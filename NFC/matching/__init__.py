"""Matchers by name: two sets of features in, distances out. docs/extending.md adds one."""

from .affinity import Affinity
from .base import Matcher
from .distances import Distances
from .dmli import DMLI
from .euclidean import Euclidean
from .k_reciprocal import KReciprocal
from .parts import VisibleParts

MATCHERS: dict[str, type[Matcher]] = {
    "euclidean": Euclidean,
    "parts": VisibleParts,
    "k_reciprocal": KReciprocal,
    "affinity": Affinity,
    "dmli": DMLI,
}

__all__ = ["DMLI", "MATCHERS", "Affinity", "Distances", "Euclidean", "KReciprocal", "Matcher", "VisibleParts"]
