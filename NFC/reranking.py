"""k-reciprocal re-ranking with sparse sets: memory grows as N k, never N x N."""

from collections.abc import Iterator

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor

from .arrays import Array, as_features, compute_dtype, in_kind, unit_scale
from .errors import UserError
from .neighbours import nearest_neighbours, pair_distances

BLOCK_ELEMENTS = 2**22


@torch.no_grad()
def k_reciprocal_rerank(query: Array, gallery: Array, k1: int = 20, k2: int = 6, lambda_value: float = 0.3) -> Array:
    """Distances re-ranked by the overlap of k-reciprocal neighbourhoods.

    query: (Q, d), gallery: (G, d) floating, NumPy or torch. Neighbourhoods are taken over queries and gallery
    together; each set starts with the sample itself. Original distances are squared Euclidean, divided by the
    largest of their row. Returns (Q, G) float32 of the same kind and device:
    (1 - lambda_value) * Jaccard distance + lambda_value * original distance.
    Raises `UserError` (a ValueError) for k < 1, lambda outside [0, 1], NaN, infinity, or sizes that differ.
    Source: Zhong et al., "Re-ranking Person Re-identification with k-reciprocal Encoding", CVPR 2017.
    """
    a, b = as_features(query, "query"), as_features(gallery, "gallery")
    if a.shape[1] != b.shape[1]:
        raise UserError(f"query and gallery features differ in size: {a.shape[1]} and {b.shape[1]}")
    if min(k1, k2) < 1 or not 0 <= lambda_value <= 1:
        raise UserError(f"need k1, k2 >= 1 and 0 <= lambda_value <= 1, got {k1}, {k2}, {lambda_value}")
    points = torch.cat([a.cpu(), b.cpu()])
    points = points.to(compute_dtype(points)) * unit_scale(points)  # distances are only used relative to each other
    centred = points - points.mean(0)  # the fast form of distances is most precise near the origin
    largest = _largest_distances(centred)
    nearest = _neighbours_with_self(points, max(k1, k2 - 1))

    weights = _encode(points, largest, nearest, k1)
    average = _membership(nearest[:, :k2])
    weights = (average @ weights).multiply(1.0 / average.sum(1)).tocsr()
    result = torch.from_numpy(_jaccard(weights, len(a))).mul_(1 - lambda_value)
    for rows, distances in _distance_blocks(centred, len(a), first_col=len(a)):
        result[rows] += lambda_value * (distances / largest[rows, None]).float()
    return in_kind(result.to(a.device), query)


def _encode(points: Tensor, largest: Tensor, nearest: np.ndarray, k1: int) -> csr_matrix:
    """Rows of weights exp(-distance) over each sample's expanded k-reciprocal set, summing to 1: (N, N) sparse."""
    reciprocal = _reciprocal(nearest[:, : k1 + 1])
    half = _reciprocal(nearest[:, : round(k1 / 2) + 1])
    overlap = (reciprocal @ half.T).multiply(reciprocal).tocsr()  # |set_i and half_c| for each c in set_i
    overlap.data = (3 * overlap.data > 2 * np.asarray(half.sum(1)).ravel()[overlap.indices]).astype(np.float64)
    expanded = (reciprocal + overlap @ half).tocoo()
    rows, cols = torch.from_numpy(expanded.row).long(), torch.from_numpy(expanded.col).long()
    values = torch.exp(-pair_distances(points, points, rows, cols) / largest[rows]).numpy()
    weights = csr_matrix((values, (expanded.row, expanded.col)), shape=expanded.shape)
    return weights.multiply(1.0 / weights.sum(1)).tocsr()


def _neighbours_with_self(points: Tensor, k: int) -> np.ndarray:
    """(N, min(k, N - 1) + 1) int64: each sample itself, then its nearest others."""
    nearest, _ = nearest_neighbours(points, k)
    return torch.cat([torch.arange(len(points))[:, None], nearest], dim=1).numpy()


def _membership(nearest: np.ndarray) -> csr_matrix:
    """(N, N) sparse with a one wherever j is listed in row i of `nearest` (N, K)."""
    count, size = nearest.shape
    indptr = np.arange(0, count * size + 1, size)
    return csr_matrix((np.ones(count * size), nearest.ravel(), indptr), shape=(count, count))


def _reciprocal(nearest: np.ndarray) -> csr_matrix:
    """(N, N) sparse with a one wherever i and j list each other."""
    listed = _membership(nearest)
    return listed.multiply(listed.T).tocsr()


def _jaccard(weights: csr_matrix, queries: int) -> np.ndarray:
    """(Q, G) float32: 1 - sum(min) / sum(max) between the rows of queries and of gallery items."""
    columns = weights[queries:].tocsc()
    result = np.empty((queries, columns.shape[0]), dtype=np.float32)
    for query in range(queries):
        row = weights[query]
        part = columns[:, row.indices]
        smaller = np.minimum(part.data, np.repeat(row.data, np.diff(part.indptr)))
        shared = np.bincount(part.indices, smaller, minlength=len(result[query]))
        result[query] = 1 - shared / (2 - shared)
    return result


def _distance_blocks(points: Tensor, stop: int, first_col: int = 0) -> Iterator[tuple[slice, Tensor]]:
    """(rows, squared distances (B, N - first_col)) for the rows before `stop`."""
    others = points[first_col:]
    squares = others.square().sum(1)
    block = max(1, BLOCK_ELEMENTS // len(others))
    for start in range(0, stop, block):
        rows = slice(start, min(start + block, stop))
        own = points[rows]
        yield rows, torch.addmm(squares, own, others.T, alpha=-2).add_(own.square().sum(1, keepdim=True)).clamp_(min=0)


def _largest_distances(points: Tensor) -> Tensor:
    """(N,): each row's largest squared distance; 1 where all samples coincide."""
    largest = torch.cat([distances.amax(1) for _, distances in _distance_blocks(points, len(points))])
    return torch.where(largest > 0, largest, 1.0)
