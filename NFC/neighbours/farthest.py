"""How far each row's farthest other row is: as in a search for neighbours, bounds first, then a few direct sums."""

import torch
from torch import Tensor

from .distances import pair_distances
from .products import FLOAT64, Centring, Precision, precisions
from .tiles import Tile, as_bits, pairs_at_least, rectangular_tiles, symmetric_tiles

PAIRS_PER_ROW = 64  # candidates, on average, that are measured; with more, float64 products decide
TILES = 32  # between two clean-ups


@torch.no_grad()
def farthest_distances(points: Tensor, precision: Precision | None = None, tile: int | None = None) -> Tensor:
    """(N, d) floating -> (N,) float64: Euclidean distance of each row to the one farthest from it, in O(N) memory.

    points: finite, not empty. Relative error below 1e-6; zero where all points coincide. precision, tile: of the
    products and the size of their tiles, on which only time depends.
    """
    centring = Centring.of(points)
    candidates = _Candidates(len(points), points.device)
    for part in symmetric_tiles(points, centring, precision or precisions(points.device)[0], tile):
        candidates.add(part)
        if candidates.count > PAIRS_PER_ROW * len(points):
            return _from_products(points, centring, tile).sqrt() / centring.scale
    row, col = candidates.pairs()
    distance = pair_distances(points, points, row, col, centring.scale)
    largest = distance.new_zeros(len(points))
    for end in (row, col):
        largest.scatter_reduce_(0, end, distance, "amax")
    return largest.sqrt() / centring.scale


def _from_products(points: Tensor, centring: Centring, tile: int | None) -> Tensor:
    """(N,) float64: largest squared distances of scaled points, from float64 products alone."""
    largest = torch.zeros(len(points), dtype=torch.float64, device=points.device)
    for part in rectangular_tiles(points, points, centring, FLOAT64, tile):
        largest[part.rows] = largest[part.rows].maximum(2 * part.values.amax(1).double())
    return largest


class _Candidates:
    """Pairs whose upper bound is at least the largest lower bound of their row or of their column."""

    def __init__(self, rows: int, device: torch.device) -> None:
        self.bound = torch.zeros(rows, dtype=torch.float64, device=device)  # lower bounds of the farthest
        self.found: list[tuple[Tensor, Tensor, Tensor]] = []  # row, column, upper bound
        self.count = 0

    def add(self, tile: Tile) -> None:
        """Take what may be far from a tile on or below the diagonal, for its rows and its columns."""
        bits = as_bits(tile.values)
        least_row = self._raise(tile.rows, bits.amax(1), tile.row_error + tile.col_error.max(), tile)
        least_col = self._raise(tile.cols, bits.amax(0), tile.col_error + tile.row_error.max(), tile)
        row, col = pairs_at_least(tile.values, least_row, least_col)
        _, upper = tile.bounds(row, col)
        self.found.append((row + tile.rows.start, col + tile.cols.start, upper))
        self.count += len(row)
        if len(self.found) > TILES:
            self.clean_up()

    def _raise(self, part: slice, largest: Tensor, error: Tensor, tile: Tile) -> Tensor:
        """Raise the bounds of `part` to its largest values, as bits; returns the least value that may be farthest."""
        dtype = tile.values.dtype
        value = largest.view(dtype).double()
        self.bound[part] = self.bound[part].maximum(value * (1 - tile.storing) - error)
        return ((self.bound[part] - error) / (1 + tile.storing)).clamp(min=0).to(dtype)

    def clean_up(self) -> None:
        """Drop pairs that the bounds have overtaken; many small tensors between large ones would hold memory apart."""
        row, col, upper = (torch.cat(parts) for parts in zip(*self.found, strict=True))
        kept = upper >= self.bound[row].minimum(self.bound[col])
        self.found, self.count = [(row[kept], col[kept], upper[kept])], int(kept.sum())

    def pairs(self) -> tuple[Tensor, Tensor]:
        """Rows and columns (P,) int64."""
        self.clean_up()
        ((row, col, _),) = self.found
        return row, col
