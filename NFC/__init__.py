"""Neighbour feature centralization and its judges: features in, better features and scores out."""

from .datasets.rules import same_camera
from .matching.k_reciprocal import k_reciprocal_rerank
from .scoring.identity_density import ID2
from .scoring.ranking import evaluate_ranking, rank_gallery
from .steps.centralization import NFC, fuse_generated
from .steps.query_expansion import expand_queries

__all__ = [
    "ID2",
    "NFC",
    "evaluate_ranking",
    "expand_queries",
    "fuse_generated",
    "k_reciprocal_rerank",
    "rank_gallery",
    "same_camera",
]
