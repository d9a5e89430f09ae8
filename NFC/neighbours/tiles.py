"""Tiles of the matrix of half distances, one at a time, with the bounds of their errors."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pose2id.devices import runs_triton

from .products import Centring, Packed, Precision, error_bounds, multiply, pack

TILE = {"cpu": 2048, "cuda": 16384}  # rows and columns of one tile


@dataclass(frozen=True)
class Tile:
    """The true half distance differs from a value v by at most row_error + col_error + storing * |v|."""

    rows: slice
    cols: slice
    values: Tensor  # (R, C)
    row_error: Tensor  # (R,) float64
    col_error: Tensor  # (C,) float64
    storing: float

    def at_most(self, row_bounds: Tensor, col_bounds: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Rows and columns (P,) of values that may be at most what their row, or their column, allows."""
        row_limits, col_limits = self._largest(row_bounds + self.row_error + self.col_error.max()), None
        if col_bounds is not None:
            col_limits = self._largest(col_bounds + self.col_error + self.row_error.max())
        return pairs_at_most(self.values, row_limits, col_limits)

    def _largest(self, bounds: Tensor) -> Tensor:
        """Rounding keeps order, so a stored value that is at most x is at most the rounded x."""
        dtype = self.values.dtype
        return (bounds / (1 - self.storing)).clamp_(0, torch.finfo(dtype).max).to(dtype)

    def bounds(self, row: Tensor, col: Tensor) -> tuple[Tensor, Tensor]:
        """Lower and upper bounds (P,) float64 of the pairs at `row`, `col` (P,) of this tile."""
        value = self.values[row, col].double()
        error = self.row_error[row] + self.col_error[col] + self.storing * value.abs()
        return value - error, value + error


def symmetric_tiles(points: Tensor, centring: Centring, precision: Precision, size: int | None) -> Iterator[Tile]:
    """All pairs of `points` (N, d) once: tiles on and below the diagonal; that on it is the first of its rows."""
    blocks = [(part, pack(points[part], centring, precision)) for part in slices(len(points), points.device, size)]
    for i, (rows, packed) in enumerate(blocks):
        partner = packed.partner()
        for cols, other in reversed(blocks[: i + 1]):
            yield _tile(rows, cols, packed, other, multiply(partner, other.matrix, precision))


def rectangular_tiles(
    query: Tensor, gallery: Tensor, centring: Centring, precision: Precision, size: int | None
) -> Iterator[Tile]:
    """All pairs of `query` (Q, d) and `gallery` (G, d)."""
    blocks = [(part, pack(query[part], centring, precision)) for part in slices(len(query), query.device, size)]
    for cols in slices(len(gallery), gallery.device, size):
        other = pack(gallery[cols], centring, precision)
        partner = other.partner()
        for rows, packed in blocks:
            yield _tile(rows, cols, packed, other, multiply(packed.matrix, partner, precision))


def _tile(rows: slice, cols: slice, packed: Packed, other: Packed, values: Tensor) -> Tile:
    return Tile(rows, cols, values, *error_bounds(packed, other), packed.precision.storing)


def slices(count: int, device: torch.device, size: int | None = None) -> list[slice]:
    """`count` rows or columns in slices of `size`, or of what suits the device."""
    size = size or TILE.get(device.type, TILE["cpu"])
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]


def pairs_at_most(values: Tensor, row_limits: Tensor, col_limits: Tensor | None) -> tuple[Tensor, Tensor]:
    """Rows and columns (P,) int64 of values (R, C) at most the limit of their row or, where given, of their column.

    All of one dtype; limits are not negative. In no order.
    """
    if runs_triton(values.device):
        from . import kernels  # Triton is not everywhere

        return kernels.select_pairs(values, row_limits, col_limits)
    limits = as_bits(row_limits)[:, None]
    if col_limits is not None:
        limits = limits.maximum(as_bits(col_limits))
    return true_positions(less_equal(as_bits(values), limits))


def pairs_at_least(values: Tensor, row_limits: Tensor, col_limits: Tensor) -> tuple[Tensor, Tensor]:
    """The same of values at least the limit of their row or of their column."""
    if runs_triton(values.device):
        from . import kernels  # Triton is not everywhere

        return kernels.select_pairs(values, row_limits, col_limits, sign=-1)
    limits = as_bits(row_limits)[:, None].minimum(as_bits(col_limits))
    return true_positions(less_equal(limits, as_bits(values)))


def as_bits(values: Tensor) -> Tensor:
    """Integers that sort as floats do that are not negative: a CPU compares those of bfloat16 twice as fast."""
    return values.view(torch.int16 if values.itemsize == 2 else torch.int32)


def less_equal(values: Tensor, limits: Tensor) -> Tensor:
    """`values <= limits`, bool; NumPy is the faster one on a CPU, for it compares many small integers at once."""
    if values.device.type != "cpu":
        return values <= limits
    return torch.from_numpy(np.less_equal(values.numpy(), limits.numpy()))


def true_positions(mask: Tensor) -> tuple[Tensor, Tensor]:
    """Rows and columns (P,) int64 of the true entries of `mask` (R, C), by row; NumPy skips zeros the faster."""
    if mask.device.type != "cpu":
        rows, columns = mask.nonzero(as_tuple=True)
        return rows, columns
    positions = torch.from_numpy(np.flatnonzero(mask.numpy()))
    row = positions // mask.shape[1]
    return row, positions - row * mask.shape[1]
