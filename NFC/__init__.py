"""Neighbour feature centralization and its judges: features in, better features and scores out."""

from .datasets.rules import same_camera
from .features.kinds import PartFeatures, SetFeatures, StripeFeatures
from .features.kinds.alignment import dmli_distances
from .matching.affinity import affinity_distances
from .matching.k_reciprocal import k_reciprocal_from_distances, k_reciprocal_rerank
from .matching.similarity_inference import similarity_inference_distances
from .neighbours import nearest_in_gallery, nearest_neighbours
from .scoring.identity_density import ID2
from .scoring.ranking import evaluate_ranking, rank_gallery
from .steps.generated import fuse_generated
from .steps.nfc import NFC
from .steps.query_expansion import expand_queries

__all__ = [
    "ID2",
    "NFC",
    "PartFeatures",
    "SetFeatures",
    "StripeFeatures",
    "affinity_distances",
    "dmli_distances",
    "evaluate_ranking",
    "expand_queries",
    "fuse_generated",
    "k_reciprocal_from_distances",
    "k_reciprocal_rerank",
    "nearest_in_gallery",
    "nearest_neighbours",
    "rank_gallery",
    "same_camera",
    "similarity_inference_distances",
]
