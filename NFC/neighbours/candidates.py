"""The pairs that may be among the k nearest of their row, collected while the tiles of a search go by."""

import torch
from torch import Tensor

from .tiles import Tile

NEW_PAIRS = 2**22  # between two clean-ups
FIRST = 2048  # columns whose k-th nearest is the first bound of a row
GROUPS_PER_NEIGHBOUR, GROUPS_AT_LEAST = 2, 16


class Candidates:
    """Pairs whose lower bound is at most the k-th smallest upper bound of their row.

    Columns are dealt out to groups in turn. The k-th smallest of the groups' least upper bounds belongs to k different
    columns, so it bounds the k-th nearest.
    limit: a row with more candidates loses them all and is listed in `undecided`.
    """

    def __init__(self, rows: int, k: int, limit: int, new_pairs: int | None, device: torch.device) -> None:
        self.k, self.limit, self.new_pairs = k, limit, NEW_PAIRS if new_pairs is None else new_pairs
        self.groups = max(GROUPS_AT_LEAST, GROUPS_PER_NEIGHBOUR * k)
        self.least = torch.full((rows, self.groups), torch.inf, dtype=torch.float64, device=device)  # upper bounds
        self.bound = torch.full((rows,), torch.inf, dtype=torch.float64, device=device)  # of the k-th nearest
        self.bounded: set[int] = set()  # first rows of tiles whose bounds were set; the host need not wait for them
        self.undecided = torch.zeros(rows, dtype=torch.bool, device=device)
        empty = torch.empty(0, dtype=torch.int32, device=device)
        self.found = [(empty, empty, self.bound[:0])]  # row, column, lower bound; the first are those of a clean-up
        self.count = 0  # of the others

    def add(self, tile: Tile, symmetric: bool) -> None:
        """Take from a tile what may be near for its rows and, if `symmetric`, for its columns."""
        bound = self.bound[tile.rows]
        if tile.rows.start not in self.bounded and self.k <= tile.values.shape[1]:
            self.bounded.add(tile.rows.start)
            kth = tile.values[:, : max(FIRST, self.k)].topk(self.k, dim=1, largest=False).values[:, -1].double()
            upper = kth.clamp(min=0) * (1 + tile.storing) + tile.row_error + tile.col_error.max()
            self.bound[tile.rows] = bound = bound.minimum(upper)
        row, col = tile.at_most(bound, self.bound[tile.cols] if symmetric else None)
        lower, upper = tile.bounds(row, col)
        row, col = row + tile.rows.start, col + tile.cols.start
        self._collect(tile.rows, row, col, lower, upper)
        if symmetric:
            self._collect(tile.cols, col, row, lower, upper)
        if self.count > len(self.found[0][0]) + self.new_pairs:
            self.clean_up()

    def _collect(self, part: slice, row: Tensor, col: Tensor, lower: Tensor, upper: Tensor) -> None:
        if row.device.type == "cpu":  # a GPU would stop to count them; what is not dropped here is at the clean-up
            kept = (lower <= self.bound[row]).nonzero()[:, 0]
            row, col, lower, upper = row[kept], col[kept], lower[kept], upper[kept]
        self.found.append((row.int(), col.int(), lower))
        self.count += len(row)
        self.least.view(-1).scatter_reduce_(0, row * self.groups + col % self.groups, upper, "amin")
        kth = self.least[part].topk(self.k, dim=1, largest=False).values[:, -1]
        self.bound[part] = self.bound[part].minimum(kth)

    def clean_up(self) -> None:
        """Drop pairs that the bounds have overtaken, and rows with too many."""
        row, col, lower = (torch.cat(parts) for parts in zip(*self.found, strict=True))
        kept = (lower <= self.bound[row]).nonzero()[:, 0]  # a GPU counts them once
        row, col, lower = row[kept], col[kept], lower[kept]
        counts = torch.zeros_like(self.bound, dtype=torch.int32).index_add_(0, row, torch.ones_like(row))
        self.undecided |= counts > self.limit
        self.bound.masked_fill_(self.undecided, -torch.inf)  # so that the next clean-up drops their pairs
        self.found, self.count = [(row, col, lower)], 0

    def pairs(self) -> tuple[Tensor, Tensor]:
        """Rows and columns (P,) int64, sorted by both."""
        self.clean_up()
        ((row, col, _),) = self.found
        kept = (~self.undecided[row]).nonzero()[:, 0]
        pair = (row[kept].long() << 32 | col[kept]).sort().values
        return pair >> 32, pair & (2**32 - 1)
