"""Neighbour feature centralization and its judges: features in, better features and scores out."""

from .centralization import NFC, fuse_generated
from .identity_density import ID2
from .query_expansion import expand_queries
from .ranking import evaluate_ranking, rank_gallery, same_camera
from .reranking import k_reciprocal_rerank

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
