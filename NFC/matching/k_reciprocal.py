"""k-reciprocal re-ranking with sparse sets: memory grows as N k, never N x N."""

import warnings
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor

from pose2id.arrays import Array, as_feature_pair, in_kind
from pose2id.devices import AtOnce
from pose2id.errors import UserError

from ..features.feature_set import FeatureSet
from ..features.kinds import VectorFeatures
from ..neighbours.farthest import farthest_distances
from ..neighbours.products import FLOAT32, Centring, pack
from ..neighbours.search import nearest_neighbours
from ..neighbours.tiles import slices
from .base import Matcher

SHARED = AtOnce(cpu=2**22, gpu=2**26)  # weights compared


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

    weights = _with_unit_rows(_weigh(_expanded_sets(nearest, k1), left, right, largest))
    weights = _with_unit_rows(_membership(nearest[:, :k2]) @ weights)
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


def _expanded_sets(nearest: np.ndarray, k1: int) -> csr_matrix:
    """(N, N) float32 sparse with an entry wherever j is in the expanded k-reciprocal set of i."""
    reciprocal = _reciprocal(nearest[:, : k1 + 1])
    half = _reciprocal(nearest[:, : round(k1 / 2) + 1])
    overlap = (reciprocal @ half.T).multiply(reciprocal).tocsr()  # |set_i and half_c| for each c in set_i
    overlap.data = (3 * overlap.data > 2 * np.asarray(half.sum(1)).ravel()[overlap.indices]).astype(np.float32)
    overlap.eliminate_zeros()
    return (reciprocal + overlap @ half).tocsr()


def _membership(nearest: np.ndarray) -> csr_matrix:
    """(N, N) sparse with a one wherever j is listed in row i of `nearest` (N, K)."""
    count, size = nearest.shape
    indptr = np.arange(0, count * size + 1, size)
    return csr_matrix((np.ones(count * size, np.float32), nearest.ravel(), indptr), shape=(count, count))


def _reciprocal(nearest: np.ndarray) -> csr_matrix:
    """(N, N) sparse with a one wherever i and j list each other."""
    listed = _membership(nearest)
    return listed.multiply(listed.T).tocsr()


def _with_unit_rows(weights: csr_matrix) -> csr_matrix:
    """Rows divided by their sums."""
    weights.data /= np.repeat(np.asarray(weights.sum(1)).ravel(), np.diff(weights.indptr))
    return weights


def _jaccard(weights: csr_matrix, queries: int, device: torch.device) -> Tensor:
    """(Q, G) float32: 1 - sum(min) / sum(max) between the rows of queries and of gallery items, which sum to 1."""
    columns = weights[queries:].tocsc()
    start, item, value = (torch.from_numpy(part).to(device) for part in (columns.indptr, columns.indices, columns.data))
    start, item = start.long(), item.long()
    row, col, own = weights[:queries].tocoo().row, weights[:queries].indices, weights[:queries].data
    row, col, own = (torch.from_numpy(part).to(device) for part in (row, col, own))
    row, col = row.long(), col.long()
    counts = start[col + 1] - start[col]  # gallery items that share each weight of a query
    shared = torch.zeros(queries * columns.shape[0], device=device)
    for part in _chunks(counts):
        size = counts[part]
        first = (start[col[part]] - (size.cumsum(0) - size)).repeat_interleave(size)
        place = first + torch.arange(len(first), device=device)
        smaller = value[place].minimum(own[part].repeat_interleave(size))
        shared.index_add_(0, row[part].repeat_interleave(size) * columns.shape[0] + item[place], smaller)
    # 1 - shared / (2 - shared) in place: at this size another array costs more than the arithmetic
    return shared.view(queries, -1).neg_().add_(2).reciprocal_().mul_(-2).add_(2)


def _chunks(counts: Tensor) -> list[slice]:
    """Slices of `counts` with sums of about `SHARED`."""
    chunk = counts.cumsum(0) // SHARED.on(counts.device)
    ends = chunk.unique_consecutive(return_counts=True)[1].cumsum(0).tolist()
    return [slice(start, stop) for start, stop in zip([0, *ends], ends, strict=False)]


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
