"""Exact nearest neighbours in tiles: the one engine that centralization, re-ranking and query expansion use.

Every pair of rows goes through a fast product whose error is bounded (`products`). A pair is kept while it may belong
to the k nearest of its row; the few that remain are measured directly and sorted by (distance, index). Rows for which
the bound leaves too many are searched again one precision higher. So the answer is exact, near-duplicates and ties
included; memory is the packed points and one tile, never N x N.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from pose2id.arrays import Array, as_feature_pair, as_features, compute_dtype, in_kind
from pose2id.errors import UserError

from .products import FLOAT64, Frame, Packed, Precision, half_distances, ladder, pack
from .shortlist import Shortlist, first_of_each_row, place_in_row

TILE = {"cpu": 2048, "cuda": 8192}  # rows and columns of one tile of distances
PAIR_ELEMENTS = 2**18  # entries of one chunk of differences, which should stay in the cache
KEPT_PER_NEIGHBOUR, KEPT_AT_LEAST = 4, 64  # pairs of a row that are measured; with more it is searched more precisely
LAST_PAIRS = 2**24  # pairs at once in the last search, which measures however many there are

# (rows (B,) int64, columns) -> bool (B, columns): True where a column does not exist for a row
Hidden = Callable[[Tensor, slice], Tensor]
# (half distances, their rows and columns packed, and where these are): sees a tile before it is searched
Watch = Callable[[Tensor, Packed, Packed, slice, slice], None]


@torch.no_grad()
def nearest_neighbours(
    feats: Array, k: int, tile: int | None = None, watch: Watch | None = None
) -> tuple[Array, Array]:
    """The k nearest other rows of each row, by squared Euclidean distance.

    feats: (N, d) floating, any device. Neighbours are those of distances summed directly in float64.
    Returns indices (N, K) int64 and squared distances (N, K) (float32, or float64 for float64 input), nearest
    first, K = min(k, N - 1). A row is never its own neighbour, but its duplicates are. Ties go to the lower index.
    tile: rows and columns that are compared at once; the answer does not depend on it. watch: is shown the tiles on
    and above the diagonal.
    Raises `UserError` (a ValueError) for k < 1, NaN, infinity, a wrong number of axes or no rows.
    """
    points = as_features(feats, "feats")
    _require_k(k)
    indices, distances = _Search(points, points, min(k, len(points) - 1), tile, own=True, watch=watch).run()
    return in_kind(indices, feats), in_kind(distances, feats)


@torch.no_grad()
def nearest_in_gallery(
    query: Array, gallery: Array, k: int, hidden: Hidden | None = None, tile: int | None = None
) -> tuple[Array, Array]:
    """The k nearest gallery rows of each query, by squared Euclidean distance.

    query: (Q, d), gallery: (G, d) floating; the work is done on the query's device. Returns indices (Q, K) int64 and
    squared distances (Q, K) as `nearest_neighbours` does, K = min(k, G). `hidden` says which gallery rows do not
    exist for which queries; where fewer than K remain, indices are -1 and distances infinite.
    Raises `UserError` (a ValueError) as `nearest_neighbours` does, and for sizes that differ.
    """
    a, b = as_feature_pair(query, gallery)
    _require_k(k)
    indices, distances = _Search(a, b, min(k, len(b)), tile, hidden=hidden).run()
    return in_kind(indices, query), in_kind(distances, query)


def pair_distances(
    a: Tensor, b: Tensor, rows: Tensor, cols: Tensor, scale: float = 1.0, dtype: torch.dtype = torch.float64
) -> Tensor:
    """Squared Euclidean distances |scale * (a[rows] - b[cols])|^2, summed directly in `dtype`.

    a: (N, d), b: (M, d), rows and cols: (P,) int64. Returns (P,).
    """
    result = torch.empty(len(rows), dtype=dtype, device=a.device)
    chunk = max(1, PAIR_ELEMENTS // a.shape[1])
    for start in range(0, len(rows), chunk):
        part = slice(start, start + chunk)
        first, second = a.index_select(0, rows[part]).to(dtype), b.index_select(0, cols[part]).to(dtype)
        if scale != 1:
            first, second = first.mul_(scale), second.mul_(scale)
        difference = first.sub_(second)
        with torch.autocast(a.device.type, enabled=False):
            result[part] = torch.linalg.vecdot(difference, difference)
    return result


def float32_error(dim: int) -> float:
    """How far `pair_distances` in float32 may be from the true ones, relative to itself, and at least `dim` * tiny."""
    return (dim + 8) * 2**-23


def _require_k(k: int) -> None:
    if k < 1:
        raise UserError(f"k must be at least 1, got {k}")


class _Search:
    """One search for the k nearest of `a` in `b`; `own`: both are the same rows, and none is its own neighbour."""

    def __init__(
        self,
        a: Tensor,
        b: Tensor,
        k: int,
        tile: int | None,
        own: bool = False,
        hidden: Hidden | None = None,
        watch: Watch | None = None,
    ) -> None:
        self.a, self.b, self.k, self.own, self.hidden, self.watch = a, b, k, own, hidden, watch
        self.tile = tile
        self.indices = torch.full((len(a), k), -1, dtype=torch.int64, device=a.device)
        self.distances = torch.full((len(a), k), torch.inf, dtype=compute_dtype(a), device=a.device)

    def run(self) -> tuple[Tensor, Tensor]:
        if self.k == 0:
            return self.indices, self.distances
        self.frame = Frame.around(self.a) if self.own else Frame.around(self.a, self.b)
        rows = torch.arange(len(self.a), device=self.a.device)
        for precision in ladder(self.a.device):
            if precision is FLOAT64:
                for part in rows.split(max(1, LAST_PAIRS // len(self.b))):
                    self._finish(self._shortlist(part, precision, limit=len(self.b)))
                break
            limit = KEPT_PER_NEIGHBOUR * self.k + KEPT_AT_LEAST
            shortlist = self._shortlist(rows, precision, limit)
            self._finish(shortlist)
            rows = rows[shortlist.crowded]
            if not len(rows):
                break
        return self.indices, self.distances

    def _shortlist(self, rows: Tensor, precision: Precision, limit: int) -> Shortlist:
        """Pairs that hold the k nearest of each of `rows` (positions in `a`), at most `limit` of a row."""
        if self.own and len(rows) == len(self.a):
            return self._shortlist_symmetric(precision, limit)
        shortlist = Shortlist(rows, self.k, limit)
        device = rows.device
        packed = [
            (part, pack(self.a[rows[part]], self.frame, precision)) for part in tiles(len(rows), device, self.tile)
        ]
        for cols in tiles(len(self.b), device, self.tile):
            right = pack(self.b[cols], self.frame, precision)
            for part, left in packed:
                tile = half_distances(left.as_left(), right)
                if self.own:
                    tile.masked_fill_(rows[part, None] == torch.arange(cols.start, cols.stop, device=device), torch.inf)
                if self.hidden is not None:
                    tile.masked_fill_(self.hidden(rows[part], cols), torch.inf)
                shortlist.scan(tile, left, right, part, cols)
        return shortlist.prune()

    def _shortlist_symmetric(self, precision: Precision, limit: int) -> Shortlist:
        """All rows against all: tiles on and above the diagonal serve their rows and their columns."""
        parts = tiles(len(self.a), self.a.device, self.tile)
        shortlist = Shortlist(torch.arange(len(self.a), device=self.a.device), self.k, limit)
        blocks = [(part, pack(self.a[part], self.frame, precision)) for part in parts]
        for part, block in blocks:  # near the diagonal first: a good bound from the start keeps later tiles empty
            tile = half_distances(block.as_left(), block)
            if self.watch:
                self.watch(tile, block, block, part, part)
            tile.fill_diagonal_(torch.inf)
            shortlist.scan(tile, block, block, part, part)
        for i, (rows, left) in enumerate(blocks):
            mirrored = left.as_left()
            for cols, right in blocks[i + 1 :]:
                tile = half_distances(mirrored, right)
                if self.watch:
                    self.watch(tile, left, right, rows, cols)
                shortlist.scan(tile, left, right, rows, cols, symmetric=True)
        return shortlist.prune()

    def _finish(self, shortlist: Shortlist) -> None:
        """Measure the pairs that remain and write each row's nearest."""
        rows, cols = shortlist.pairs()
        if len(rows) > KEPT_AT_LEAST * len(shortlist.rows):
            rows, cols = self._drop_behind_duplicates(rows, cols)
        if self.a.dtype == torch.float64:
            exact = self._measure(rows, cols, torch.float64)
        else:
            rows, cols, exact = self._measure_nearest(rows, cols)
        nearest = first_of_each_row(rows, exact, self.k)
        rows, cols, exact = rows[nearest], cols[nearest], exact[nearest]
        place = place_in_row(rows)
        self.indices[rows, place] = cols
        self.distances[rows, place] = (exact / self.frame.scale / self.frame.scale).to(self.distances.dtype)

    def _drop_behind_duplicates(self, rows: Tensor, cols: Tensor) -> tuple[Tensor, Tensor]:
        """Nothing is nearer than an equal row, so where the first pairs hold k of those, the others need no look."""
        first = place_in_row(rows) < 2 * self.k
        equal = self._measure(rows[first], cols[first], torch.float64) == 0
        settled = rows[first][equal].bincount(minlength=len(self.a)) >= self.k
        kept = first | ~settled[rows]
        return rows[kept], cols[kept]

    def _measure_nearest(self, rows: Tensor, cols: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Those pairs that may be among the k nearest of their row, and their distances (P,) float64.

        Sums in float32 order most pairs; those too near to the next one of their row are summed in float64.
        """
        dim = self.a.shape[1]
        slack, least = 1 + 4 * float32_error(dim), 8 * dim * torch.finfo(torch.float32).tiny
        nearly = self._measure(rows, cols, torch.float32)
        order = first_of_each_row(rows, nearly, len(rows))
        row, value = rows[order], nearly[order]
        last = place_in_row(row) == self.k - 1
        kth = nearly.new_full((len(self.a),), torch.inf)
        kth[row[last]] = value[last]
        close = (row[1:] == row[:-1]) & (value[1:] <= value[:-1] * slack + least)
        unsure = nearly <= least / float32_error(dim)  # where products may have fallen below the least number
        unsure[order[1:]] |= close
        unsure[order[:-1]] |= close
        kept = nearly <= kth[rows] * slack + least
        rows, cols, exact, unsure = rows[kept], cols[kept], nearly[kept].double(), unsure[kept]
        exact[unsure] = self._measure(rows[unsure], cols[unsure], torch.float64)
        return rows, cols, exact

    def _measure(self, rows: Tensor, cols: Tensor, dtype: torch.dtype) -> Tensor:
        return pair_distances(self.a, self.b, rows, cols, self.frame.scale, dtype)


def tiles(count: int, device: torch.device, size: int | None = None) -> list[slice]:
    """`count` rows or columns in slices of `size`, or of what suits the device."""
    size = size or TILE.get(device.type, TILE["cpu"])
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]
