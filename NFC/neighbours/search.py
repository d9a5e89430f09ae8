"""Exact nearest neighbours in tiles: the one engine that centralization, re-ranking and query expansion use.

Every pair of rows goes through a fast product whose error is bounded. The few pairs that may be among the k nearest of
their row are measured directly and sorted by (distance, index). Rows with too many of those go through a float64
product first. docs/search.md says why the answer is exact; memory is the packed points and one tile, never N x N.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from pose2id.arrays import Array, as_feature_pair, as_features, compute_dtype, in_kind
from pose2id.errors import UserError

from .candidates import Candidates
from .distances import pair_bounds, pair_distances, table_by_row
from .products import Centring, Precision, precisions
from .tiles import rectangular_tiles, slices, symmetric_tiles

# (rows (B,) int64, columns) -> bool (B, columns): True where a column does not exist for a row
Excluded = Callable[[Tensor, slice], Tensor]


@dataclass(frozen=True)
class Limits:
    """Sizes on which only time and memory depend, not the answer."""

    precisions: tuple[Precision, ...] | None = None  # in turn, for the rows that the one before left undecided
    tile: int | None = None  # rows and columns of one tile; None: what suits the device
    per_neighbour: int = 4  # candidates of a row that are measured: k times this
    at_least: int = 64  # and this many more; with more it goes through the next precision
    new_pairs: int | None = None  # candidates between two clean-ups
    last_pairs: int = 2**24  # pairs at once in the last precision, where all candidates are measured


@torch.no_grad()
def nearest_neighbours(feats: Array, k: int, limits: Limits = Limits()) -> tuple[Array, Array]:
    """The k nearest other rows of each row, by squared Euclidean distance.

    feats: (N, d) floating, any device. Neighbours are those of distances summed directly in float64.
    Returns indices (N, K) int64 and squared distances (N, K) (float32, or float64 for float64 input), nearest
    first, K = min(k, N - 1). A row is never its own neighbour, but its duplicates are. Ties go to the lower index.
    Raises `UserError` (a ValueError) for k < 1, NaN, infinity, a wrong number of axes or no rows.
    """
    points = as_features(feats, "feats")
    _require_k(k)
    indices, distances = _Search(points, points, min(k, len(points) - 1), limits, _itself, symmetric=True).run()
    return in_kind(indices, feats), in_kind(distances, feats)


@torch.no_grad()
def nearest_in_gallery(
    query: Array, gallery: Array, k: int, excluded: Excluded | None = None, limits: Limits = Limits()
) -> tuple[Array, Array]:
    """The k nearest gallery rows of each query, by squared Euclidean distance.

    query: (Q, d), gallery: (G, d) floating; the work is done on the query's device. Returns indices (Q, K) int64 and
    squared distances (Q, K) as `nearest_neighbours` does, K = min(k, G). `excluded` says which gallery rows do not
    exist for which queries; where fewer than K remain, indices are -1 and distances infinite.
    Raises `UserError` (a ValueError) as `nearest_neighbours` does, and for sizes that differ.
    """
    a, b = as_feature_pair(query, gallery)
    _require_k(k)
    indices, distances = _Search(a, b, min(k, len(b)), limits, excluded).run()
    return in_kind(indices, query), in_kind(distances, query)


def _require_k(k: int) -> None:
    if k < 1:
        raise UserError(f"k must be at least 1, got {k}")


def _itself(rows: Tensor, cols: slice) -> Tensor:
    return rows[:, None] == torch.arange(cols.start, cols.stop, device=rows.device)


class _Search:
    """One search for the k nearest of `a` (N, d) in `b` (M, d); `symmetric`: both are the same rows."""

    def __init__(
        self, a: Tensor, b: Tensor, k: int, limits: Limits, excluded: Excluded | None, symmetric: bool = False
    ) -> None:
        self.a, self.b, self.k, self.limits, self.excluded, self.symmetric = a, b, k, limits, excluded, symmetric
        self.centring = Centring.of(a) if symmetric else Centring.of(a, b)
        self.indices = torch.full((len(a), k), -1, dtype=torch.int64, device=a.device)
        self.distances = torch.full((len(a), k), torch.inf, dtype=compute_dtype(a), device=a.device)

    def run(self) -> tuple[Tensor, Tensor]:
        """Indices and distances (N, k)."""
        if self.k == 0:
            return self.indices, self.distances
        rows = torch.arange(len(self.a), device=self.a.device)
        *fast, last = self.limits.precisions or precisions(self.a.device)
        for precision in fast:
            candidates = self._candidates(rows, precision, self.limits.per_neighbour * self.k + self.limits.at_least)
            self._choose(rows, *candidates.pairs())
            rows = rows[candidates.undecided]
            if not len(rows):
                return self.indices, self.distances
        for part in rows.split(max(1, self.limits.last_pairs // len(self.b))):
            row, col = self._candidates(part, last, limit=len(self.b)).pairs()
            self._choose(part, *self._without_later_duplicates(part, row, col))
        return self.indices, self.distances

    def _candidates(self, rows: Tensor, precision: Precision, limit: int) -> Candidates:
        """Of these rows of `a`, numbered from 0."""
        candidates = Candidates(len(rows), self.k, limit, self.limits.new_pairs, rows.device)
        symmetric = self.symmetric and len(rows) == len(self.a)
        if symmetric:
            tiles = symmetric_tiles(self.a, self.centring, precision, self.limits.tile)
        else:
            tiles = rectangular_tiles(self.a[rows], self.b, self.centring, precision, self.limits.tile)
        for tile in tiles:
            mirrored = symmetric and tile.rows != tile.cols
            if self.excluded is not None and not mirrored:
                tile.values.masked_fill_(self.excluded(rows[tile.rows], tile.cols), torch.inf)
            candidates.add(tile, mirrored)
        return candidates

    def _without_later_duplicates(self, rows: Tensor, row: Tensor, col: Tensor) -> tuple[Tensor, Tensor]:
        """Nothing is nearer than an equal row: where the first candidates hold k of those, the others need no look."""
        sizes = row.bincount(minlength=len(rows))
        first = torch.arange(len(row), device=row.device) - (sizes.cumsum(0) - sizes)[row] < 2 * self.k
        equal = self._measure(rows[row[first]], col[first]) == 0
        settled = row[first][equal].bincount(minlength=len(rows)) >= self.k
        kept = first | ~settled[row]
        return row[kept], col[kept]

    def _choose(self, rows: Tensor, row: Tensor, col: Tensor) -> None:
        """Write the nearest of the candidates (P,), where `row` counts within `rows`."""
        for part in slices(len(rows), rows.device):
            start, stop = torch.searchsorted(row, torch.tensor([part.start, part.stop], device=row.device)).tolist()
            chosen, own, other = rows[part], row[start:stop] - part.start, col[start:stop]
            own, other, distance = self._measured_where_close(chosen, own, other)
            table, starts = table_by_row(own, distance, len(chosen), self.k)
            table, place = (values[:, : self.k] for values in table.sort(dim=1, stable=True))
            line, rank = table.isfinite().nonzero(as_tuple=True)
            self.indices[chosen[line], rank] = other[starts[line] + place[line, rank]]
            distances = table[line, rank] / self.centring.scale / self.centring.scale
            self.distances[chosen[line], rank] = distances.to(self.distances.dtype)

    def _measured_where_close(self, rows: Tensor, own: Tensor, other: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Those of the pairs (P,), `own` within `rows`, that may be among the nearest, with numbers that sort them."""
        lower, upper = pair_bounds(self.a, self.b, rows[own], other, self.centring.scale)
        if lower is upper:
            return own, other, lower
        lowest, uppermost = (table_by_row(own, v, len(rows), self.k + 1)[0].sort(1).values for v in (lower, upper))
        ordered = (uppermost[:, : self.k] < lowest[:, 1 : self.k + 1]).all(1)  # by the bounds alone
        kept = lower <= uppermost[own, self.k - 1]
        own, other, distance = own[kept], other[kept], (lower[kept] + upper[kept]) / 2
        close = ~ordered[own]
        distance[close] = self._measure(rows[own[close]], other[close])
        return own, other, distance

    def _measure(self, rows: Tensor, cols: Tensor) -> Tensor:
        return pair_distances(self.a, self.b, rows, cols, self.centring.scale)
