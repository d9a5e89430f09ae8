"""Matchers by name: two sets of features in, distances out. docs/extending.md adds one."""

from .affinity import Affinity
from .base import Matcher
from .distances import Distances
from .euclidean import Euclidean
from .k_reciprocal import KReciprocal
from .parts import VisibleParts
from .reconstruction import Reconstruction

MATCHERS: dict[str, type[Matcher]] = {
    "euclidean": Euclidean,
    "parts": VisibleParts,
    "k_reciprocal": KReciprocal,
    "affinity": Affinity,
    "reconstruction": Reconstruction,
}

__all__ = ["MATCHERS", "Affinity", "Distances", "Euclidean", "KReciprocal", "Matcher", "Reconstruction", "VisibleParts"]
