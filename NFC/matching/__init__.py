"""Matchers by name: two sets of features in, distances out. docs/extending.md adds one."""

from .affinity import Affinity
from .base import Matcher
from .distances import Distances
from .dmli import DMLI
from .euclidean import Euclidean
from .jaccard import Jaccard
from .k_reciprocal import KReciprocal
from .pair_network import PairNetworkMatcher
from .parts import VisibleParts
from .reconstruction import Reconstruction
from .similarity_inference import SimilarityInference

MATCHERS: dict[str, type[Matcher]] = {
    "euclidean": Euclidean,
    "parts": VisibleParts,
    "k_reciprocal": KReciprocal,
    "affinity": Affinity,
    "dmli": DMLI,
    "jaccard": Jaccard,
    "reconstruction": Reconstruction,
    "similarity_inference": SimilarityInference,
    "pair_network": PairNetworkMatcher,
}

__all__ = [
    "DMLI",
    "MATCHERS",
    "Affinity",
    "Distances",
    "Euclidean",
    "Jaccard",
    "KReciprocal",
    "Matcher",
    "Reconstruction",
    "SimilarityInference",
    "VisibleParts",
]
