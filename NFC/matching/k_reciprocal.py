"""k-reciprocal re-ranking with sparse sets: memory grows as N k, never N x N."""

import warnings
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor

from pose2id.arrays import Array, as_feature_pair, in_kind
from pose2id.errors import UserError

from ..features.feature_set import FeatureSet
from ..features.kinds import VectorFeatures
from ..neighbours.farthest import farthest_distances
from ..neighbours.products import FLOAT32, Centring, pack
from ..neighbours.search import nearest_neighbours
from ..neighbours.tiles import slices
from .base import Matcher
from .neighbourhoods import InvertedLists, expanded_sets, membership, with_unit_rows


@torch.no_grad()
def k_reciprocal_rerank(query: Array, gallery: Array, k1: int = 20, k2: int = 6, lambda_value: float = 0.3) -> Array:
    """Distances re-ranked by the overlap of k-reciprocal neighbourhoods.

    query: (Q, d), gallery: (G, d) floating, NumPy or torch, any device; only the sets are worked out on the CPU, with
    SciPy. Neighbourhoods are taken over queries and gallery together; each set starts with the sample itself. Original
    distances are squared Euclidean, divided by the largest of their row. Returns (Q, G) float32 of the kind and device
    of `query`: (1 - lambda_value) * Jaccard distance + lambda_value * original distance.
    Raises `UserError` (a ValueError) for k < 1, lambda outside [0, 1], NaN, infinity, empty sets or sizes that differ.
    Source: Zhong et al., "Re-ranking Person Re-identification with k-reciprocal Encoding", CVPR 2017.
    """
    a, b = as_feature_pair(query, gallery)
    _check(k1, k2, lambda_value)
    points = torch.cat([a, b])
    centring = Centring.of(points)
    packed = pack(points, centring, FLOAT32)
    left, right = packed.partner(), packed.matrix.T  # left @ right: half squared distances
    largest = (farthest_distances(points) * centring.scale).square().div_(2).float()
    largest[largest == 0] = 1
    nearest, _ = nearest_neighbours(points, max(k1, k2 - 1))
    nearest = np.column_stack([np.arange(len(points)), nearest.cpu().numpy()])

    weights = with_unit_rows(_weigh(expanded_sets(nearest, k1), left, right, largest))
    weights = with_unit_rows(membership(nearest[:, :k2]) @ weights)
    result = _jaccard(weights, len(a), a.device).mul_(1 - lambda_value)
    for rows in slices(len(a), a.device):
        distances = (left[rows] @ right[:, len(a) :]).clamp_(min=0).div_(largest[rows, None])
        result[rows].add_(distances, alpha=lambda_value)
    return in_kind(result, query)


def _weigh(sets: csr_matrix, left: Tensor, right: Tensor, largest: Tensor) -> csr_matrix:
    """exp(-distance) in place of each entry of `sets`, distances being divided by the largest of their row."""
    with warnings.catch_warnings():  # PyTorch calls its sparse support a beta
        warnings.simplefilter("ignore", UserWarning)
        parts = (torch.from_numpy(part).to(left.device) for part in (sets.indptr, sets.indices, sets.data))
        pattern = torch.sparse_csr_tensor(*parts, size=sets.shape)
        distances = torch.sparse.sampled_addmm(pattern, left, right, beta=0).values()
    counts = torch.from_numpy(np.diff(sets.indptr)).to(left.device)
    values = torch.exp(-distances.clamp_(min=0) / largest.repeat_interleave(counts))
    return csr_matrix((values.cpu().numpy(), sets.indices, sets.indptr), shape=sets.shape)


def _jaccard(weights: csr_matrix, queries: int, device: torch.device) -> Tensor:
    """(Q, G) float32: 1 - sum(min) / sum(max) between the rows of queries and of gallery items, which sum to 1."""
    own = weights[:queries].tocoo()
    row, col, weight = (torch.from_numpy(part).to(device) for part in (own.row, own.col, own.data))
    shared = InvertedLists.of(weights[queries:], device).overlap(row.long(), col.long(), weight, queries)
    # 1 - shared / (2 - shared) in place: at this size another array costs more than the arithmetic
    return shared.neg_().add_(2).reciprocal_().mul_(-2).add_(2)


def _check(k1: int, k2: int, lambda_value: float) -> None:
    if min(k1, k2) < 1 or not 0 <= lambda_value <= 1:
        raise UserError(f"need k1, k2 >= 1 and 0 <= lambda_value <= 1, got {k1}, {k2}, {lambda_value}")


@dataclass(frozen=True)
class KReciprocal(Matcher):
    """k-reciprocal re-ranking; lambda_value is the weight of the original distance."""

    name: ClassVar[str] = "k_reciprocal"
    kinds: ClassVar[tuple[str, ...]] = (VectorFeatures.kind,)

    k1: int = 20
    k2: int = 6
    lambda_value: float = 0.3

    def __post_init__(self) -> None:
        _check(self.k1, self.k2, self.lambda_value)

    @property
    def label(self) -> str:
        return "re-ranked"

    def distances(self, query: FeatureSet, gallery: FeatureSet) -> Tensor:
        return k_reciprocal_rerank(query.feats.values, gallery.feats.values, self.k1, self.k2, self.lambda_value)
