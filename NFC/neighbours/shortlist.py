"""The pairs that may be among the nearest of their row, kept while the tiles of a search go by."""

import torch
from torch import Tensor

from .products import Packed, bits_above, places

PRUNE_PAIRS = 2**22  # pairs found between two clean-ups
WIDEST_TABLE = 8  # entries of a table of rows, for each that is filled


class Shortlist:
    """Pairs of a row that may be among its k nearest, and the bound above which none can be.

    rows: (R,) what the rows of this search are called outside. limit: a row that keeps more pairs is `crowded`: it
    keeps none and has to be searched again.
    """

    def __init__(self, rows: Tensor, k: int, limit: int) -> None:
        self.rows, self.k, self.limit = rows, k, limit
        self.best = torch.full((len(rows), k), torch.inf, dtype=torch.float64, device=rows.device)  # upper bounds
        self.crowded = torch.zeros(len(rows), dtype=torch.bool, device=rows.device)
        self.found = [(rows[:0].int(), rows[:0].int(), self.best[:0, 0])]  # row, column, lower bound
        self.new_pairs = 0  # since the last clean-up, which leaves one entry in `found`

    def scan(
        self, tile: Tensor, left: Packed, right: Packed, rows: slice, cols: slice, symmetric: bool = False
    ) -> None:
        """Take from a tile (rows x cols) of half distances what may count; `symmetric`: for its columns as well."""
        precision, left_error, right_error = left.precision, left.error(right), right.error(left)
        threshold = self.best[rows, -1]
        if threshold.isposinf().any() and self.k <= tile.shape[1]:
            kth = tile.topk(self.k, dim=1, largest=False).values[:, -1].double()
            threshold = threshold.minimum(kth + precision.result * kth.abs() + left_error + right_error.max())
        shrink = 1 - precision.result
        reach = bits_above((threshold + left_error + right_error.max()) / shrink, precision)[:, None]
        if symmetric:
            threshold = self.best[cols, -1]
            reach = reach.maximum(bits_above((threshold + right_error + left_error.max()) / shrink, precision))
        row, col = places(tile.view(precision.integer) <= reach)
        value = tile[row, col].double()
        slack = left_error[row] + right_error[col] + precision.result * value.abs()
        row, col, lower, upper = row + rows.start, col + cols.start, value - slack, value + slack
        self._add(row, col, lower, upper)
        if symmetric:
            self._add(col, row, lower, upper)
        if self.new_pairs > len(self.found[0][0]) + PRUNE_PAIRS:
            self.prune()

    def _add(self, row: Tensor, col: Tensor, lower: Tensor, upper: Tensor) -> None:
        kept = (lower <= self.best[row, -1]) & upper.isfinite()
        row, col, lower, upper = row[kept], col[kept], lower[kept], upper[kept]
        self.found.append((row.int(), col.int(), lower))
        self.new_pairs += len(row)
        first = first_of_each_row(row, upper, self.k)
        own, group = row[first].unique_consecutive(return_inverse=True)
        bounds = upper.new_full((len(own), self.k), torch.inf)
        bounds[group, place_in_row(row[first])] = upper[first]
        self.best[own] = torch.cat([self.best[own], bounds], dim=1).topk(self.k, dim=1, largest=False).values

    def prune(self) -> "Shortlist":
        """Forget pairs that the bound has overtaken, and rows that keep too many."""
        row, col, lower = (torch.cat(parts) for parts in zip(*self.found, strict=True))
        kept = lower <= self.best[row, -1]
        self.crowded |= row[kept].bincount(minlength=len(self.best)) > self.limit
        self.best[self.crowded] = -torch.inf
        kept &= ~self.crowded[row]
        self.found = [(row[kept], col[kept], lower[kept])]
        self.new_pairs = 0
        return self

    def pairs(self) -> tuple[Tensor, Tensor]:
        """Rows, by their outside names, and columns: (P,) int64 each, sorted by both."""
        ((row, col, _),) = self.found
        order = (row.long() << 32 | col).argsort()
        return self.rows[row[order]], col[order].long()


def first_of_each_row(rows: Tensor, values: Tensor, k: int) -> Tensor:
    """Positions of each row's k smallest values, sorted by (row, value, position)."""
    together = rows.argsort(stable=True)
    counts = rows.bincount()
    counts = counts[counts > 0]
    if not len(counts) or counts.max() * len(counts) > WIDEST_TABLE * len(rows):  # rows of very different length
        order = values.argsort(stable=True)
        order = order[rows[order].argsort(stable=True)]
        return order[place_in_row(rows[order]) < k]
    row = torch.arange(len(counts), device=rows.device).repeat_interleave(counts)
    place = place_in_row(row)
    table = values.new_full((len(counts), int(counts.max())), torch.inf)
    table[row, place] = values[together]
    order = table.sort(dim=1, stable=True).indices[:, :k]
    kept = torch.arange(order.shape[1], device=rows.device) < counts[:, None]
    starts = counts.cumsum(0) - counts
    return together[(starts[:, None] + order)[kept]]


def place_in_row(rows: Tensor) -> Tensor:
    """0, 1, 2, ... within each run of equal `rows`."""
    _, counts = rows.unique_consecutive(return_counts=True)
    first = counts.cumsum(0) - counts
    return torch.arange(len(rows), device=rows.device) - first.repeat_interleave(counts)
