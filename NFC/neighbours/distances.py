"""Distances of chosen pairs, summed directly, and tables of them."""

import torch
from torch import Tensor

from pose2id.devices import AtOnce, runs_triton

DIFFERENCES = AtOnce(cpu=2**16, gpu=2**26)


def pair_distances(
    a: Tensor, b: Tensor, rows: Tensor, cols: Tensor, scale: float = 1.0, dtype: torch.dtype = torch.float64
) -> Tensor:
    """Squared Euclidean distances |scale * (a[rows] - b[cols])|^2, summed directly in `dtype`.

    a: (N, d), b: (M, d), rows and cols: (P,) int64. Returns (P,).
    """
    if dtype == torch.float64 and scale == 1 and runs_triton(a.device):
        from . import kernels  # Triton is not everywhere

        return kernels.pair_distances(a, b, rows, cols)
    result = torch.empty(len(rows), dtype=dtype, device=a.device)
    chunk = DIFFERENCES.rows(a.shape[1], a.device)
    with torch.autocast(a.device.type, enabled=False):
        for first, second, part in zip(*(each.split(chunk) for each in (rows, cols, result)), strict=True):
            ends = a.index_select(0, first).to(dtype), b.index_select(0, second).to(dtype)
            difference = ends[0].sub_(ends[1]) if scale == 1 else ends[0].mul_(scale).sub_(ends[1].mul_(scale))
            torch.linalg.vecdot(difference, difference, out=part)
    return result


def distance_matrix(a: Tensor, b: Tensor) -> Tensor:
    """Euclidean distances (N, M) float64 of (N, d) and (M, d), by a product: exact to 1e-8 of the longest row."""
    a, b = a.double(), b.double()
    squares = torch.addmm(b.square().sum(1), a, b.T, alpha=-2).add_(a.square().sum(1, keepdim=True))
    return squares.clamp_(min=0).sqrt_()


def nearest_columns(distances: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Values and columns (B, min(k, M)) of the smallest of each row of (B, M); ties go to the lower column."""
    k = min(k, distances.shape[1])
    kth = distances.topk(k, largest=False).values[:, -1:]
    width = int((distances <= kth).sum(1).max())  # all that tie with the k-th are in, so that the index decides
    nearest, cols = distances.topk(width, largest=False)
    cols, order = cols.sort(dim=1)
    nearest, order = nearest.gather(1, order).sort(dim=1, stable=True)
    return nearest[:, :k], cols.gather(1, order)[:, :k]


def pair_bounds(a: Tensor, b: Tensor, rows: Tensor, cols: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """Lower and upper bounds (P,) float64 of `pair_distances`, from sums in float32; equal where float64 is as fast."""
    if a.dtype == torch.float64 or runs_triton(a.device):
        exact = pair_distances(a, b, rows, cols, scale)
        return exact, exact
    dim = a.shape[1]
    nearly = pair_distances(a, b, rows, cols, scale, torch.float32).double()
    error = 2 * (dim + 8) * 2**-23 * nearly + 8 * dim * torch.finfo(torch.float32).tiny
    return nearly - error, nearly + error


def table_by_row(rows: Tensor, values: Tensor, count: int, width: int = 1) -> tuple[Tensor, Tensor]:
    """(count, W): the values of each row side by side, infinity behind them; and where each row starts (count,).

    rows: (P,) int64 below `count`, ascending; values: (P,). W is at least `width`.
    """
    bounds = row_bounds(rows, count)
    table = values.new_full((count, max(width, int(bounds.diff().max()))), torch.inf)
    table[rows, torch.arange(len(rows), device=rows.device) - bounds[rows]] = values
    return table, bounds[:-1]


def row_bounds(rows: Tensor, count: int) -> Tensor:
    """(count + 1,) int64: where each of `count` rows starts in `rows` (P,) ascending, and where the last one ends."""
    return torch.searchsorted(rows, torch.arange(count + 1, device=rows.device))
