"""Exact nearest neighbours in blocks of rows: the one engine that centralization and re-ranking use.

A block's distances come from the fast form |b|^2 - 2ab, whose rounding error is bounded. Everything that could
belong to the k nearest within that bound is then measured directly, in float64, and sorted by (distance, index).
So the answer is exact, near-duplicates and ties included, and no N x N matrix is ever held.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from .arrays import Array, as_features, compute_dtype, in_kind, unit_scale
from .errors import UserError

BLOCK_ELEMENTS = 2**24  # entries of one block of distances
PAIR_ELEMENTS = 2**22  # entries of one chunk of differences


@torch.no_grad()
def nearest_neighbours(feats: Array, k: int, block_size: int | None = None) -> tuple[Array, Array]:
    """The k nearest other rows of each row, by squared Euclidean distance.

    feats: (N, d) floating, any device; half precision is computed in float32.
    Returns indices (N, K) int64 and squared distances (N, K) (float32, or float64 for float64 input), nearest
    first, K = min(k, N - 1). A row is never its own neighbour, but its duplicates are. Ties go to the lower index.
    block_size: rows per block; by default as many as fit a fixed memory budget.
    Raises `UserError` (a ValueError) for k < 1, NaN, infinity, a wrong number of axes or no rows.
    """
    points = as_features(feats, "feats")
    if k < 1:
        raise UserError(f"k must be at least 1, got {k}")
    count = len(points)
    k = min(k, count - 1)
    dtype = compute_dtype(points)
    indices = torch.empty((count, k), dtype=torch.int64, device=points.device)
    distances = torch.empty((count, k), dtype=dtype, device=points.device)
    if k == 0:
        return in_kind(indices, feats), in_kind(distances, feats)

    scale = unit_scale(points)
    for start, rows, cols in _candidate_blocks(points.to(dtype) * scale, k, block_size):
        exact = pair_distances(points, points, rows, cols, scale)
        nearest = _first_k_per_row(rows, exact, k)
        stop = start + len(nearest)
        indices[start:stop] = cols[nearest]
        distances[start:stop] = (exact[nearest] / scale / scale).to(dtype)
    return in_kind(indices, feats), in_kind(distances, feats)


def pair_distances(a: Tensor, b: Tensor, rows: Tensor, cols: Tensor, scale: float = 1.0) -> Tensor:
    """Squared Euclidean distances |scale * (a[rows] - b[cols])|^2, summed directly in float64.

    a: (N, d), b: (M, d), rows and cols: (P,) int64. Returns (P,) float64.
    """
    result = torch.empty(len(rows), dtype=torch.float64, device=a.device)
    chunk = max(1, PAIR_ELEMENTS // a.shape[1])
    for start in range(0, len(rows), chunk):
        part = slice(start, start + chunk)
        difference = a[rows[part]].double().mul_(scale) - b[cols[part]].double().mul_(scale)
        result[part] = difference.square_().sum(1)
    return result


def _candidate_blocks(points: Tensor, k: int, block_size: int | None) -> Iterator[tuple[int, Tensor, Tensor]]:
    """(first row, rows, cols) of each block: pairs that hold the k nearest of every row, and little else.

    points: (N, d) with magnitudes below 1. The fast distance of (i, j) is wrong by at most error_i + error_j. So with
    t_i = the k-th smallest of fast_ij + error_j, each of the k nearest j has fast_ij - error_j <= t_i + 2 error_i.
    """
    count = len(points)
    squares = torch.linalg.vector_norm(points, dim=1).square_()
    error = _error_bound(squares, points)
    block = block_size or max(1, BLOCK_ELEMENTS // count)
    for start in range(0, count, block):
        stop = min(start + block, count)
        fast = torch.addmm(squares, points[start:stop], points.T, alpha=-2)  # (B, N), |a|^2 left out
        fast.diagonal(start).fill_(torch.inf)
        threshold = (fast + error).topk(k, dim=1, largest=False).values[:, -1] + 2 * error[start:stop]
        rows, cols = (fast - error <= threshold[:, None]).nonzero(as_tuple=True)
        yield start, rows + start, cols


def _error_bound(squares: Tensor, points: Tensor) -> Tensor:
    """(N,): how much a row adds to the rounding error of |b|^2 - 2ab, from the standard bound on a dot product."""
    info = torch.finfo(points.dtype)
    relative = (points.shape[1] + 8) * info.eps
    if points.dtype == torch.float32 and torch.get_float32_matmul_precision() != "highest":
        relative += 2**-7  # the user allowed TF32 or bfloat16 inside float32 products
    return squares * relative + 8 * points.shape[1] * info.tiny


def _first_k_per_row(rows: Tensor, distances: Tensor, k: int) -> Tensor:
    """Positions (B, k) of each row's k smallest pairs, by (distance, column); pairs arrive sorted by (row, column)."""
    order = distances.argsort(stable=True)
    order = order[rows[order].argsort(stable=True)]
    _, counts = rows.unique_consecutive(return_counts=True)
    first = counts.cumsum(0) - counts
    return order[first[:, None] + torch.arange(k, device=rows.device)]
