"""Query expansion: each query becomes a mean of itself and its nearest gallery features."""

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch.nn.functional import cosine_similarity

from pose2id.arrays import Array, as_feature_pair, compute_dtype, in_kind
from pose2id.errors import UserError

from ..features.feature_set import FeatureSet
from ..features.kinds import VectorFeatures
from ..neighbours import nearest_in_gallery
from .base import Step


@torch.no_grad()
def expand_queries(query: Array, gallery: Array, k: int, alpha: float = 0.0) -> Array:
    """(q + sum of w_j g_j) / (1 + sum of w_j) over the k gallery features nearest to q.

    w_j = similarity(q, g_j)**alpha, the cosine similarity, at least 0. alpha = 0 is the plain average.
    query: (Q, d), gallery: (G, d) floating, NumPy or torch, nearest by squared Euclidean distance (for L2-normalised
    features: by similarity); ties go to the lower index, k beyond G means all. Pass the features as they are ranked;
    normalise the result, which is not. Same-camera pictures are not left out, as at test time nobody knows the pids.
    Returns (Q, d) of the kind, dtype and device of `query`; half precision is summed in float32.
    Raises `UserError` (a ValueError) for k < 1, alpha < 0, NaN, infinity, empty sets or sizes that differ.
    Source: Chum et al., "Total Recall", ICCV 2007 (average); Radenovic et al., "Fine-tuning CNN Image Retrieval with No
    Human Annotation", TPAMI 2019 (alpha-weighted).
    """
    a, b = as_feature_pair(query, gallery)
    _check_alpha(alpha)
    nearest, _ = nearest_in_gallery(a, b, k)
    own = a.to(compute_dtype(a))
    total, weight = own.clone(), own.new_ones(len(own), 1)
    for column in nearest.T:
        other = b[column].to(own.dtype)
        similarity = cosine_similarity(own, other)[:, None].clamp(min=0) ** alpha
        total.addcmul_(similarity, other)
        weight += similarity
    expanded = total / weight
    return in_kind(expanded.to(a.dtype), query)


def _check_alpha(alpha: float) -> None:
    if not 0 <= alpha < float("inf"):
        raise UserError(f"alpha must be at least 0 and finite, got {alpha}")


@dataclass(frozen=True)
class QueryExpansion(Step):
    """Each query becomes a mean with its `k` nearest gallery features; it looks at the gallery, so tell."""

    name: ClassVar[str] = "query_expansion"
    kinds: ClassVar[tuple[str, ...]] = (VectorFeatures.kind,)

    k: int = 1
    alpha: float = 0.0

    def __post_init__(self) -> None:
        if self.k < 1:
            raise UserError(f"query expansion needs k of at least 1, got {self.k}")
        _check_alpha(self.alpha)

    @property
    def label(self) -> str:
        return f"expansion {self.k}"

    def apply(self, query: FeatureSet, gallery: FeatureSet) -> tuple[FeatureSet, FeatureSet]:
        expanded = expand_queries(query.feats.values, gallery.feats.values, self.k, self.alpha)
        return replace(query, feats=VectorFeatures(expanded).normalized()), gallery
