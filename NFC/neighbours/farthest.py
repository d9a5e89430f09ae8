"""How far each row's farthest other row is, found in the tiles of a neighbour search that is made anyway."""

import torch
from torch import Tensor

from .products import FLOAT32, Frame, Packed, Precision, bits_below, half_distances, pack, places
from .search import pair_distances, tiles

KEPT_PER_ROW = (
    64  # pairs that are measured, on average; where more may be the farthest, all products are made precisely
)


class Farthest:
    """The `watch` of a search of `points` (N, d) among themselves: keeps the pairs that may be farthest."""

    def __init__(self, points: Tensor, frame: Frame) -> None:
        self.points, self.frame = points, frame
        self.most = torch.zeros(len(points), dtype=torch.float64, device=points.device)  # lower bounds
        self.found: list[tuple[Tensor, Tensor, Tensor]] = []  # row, column, upper bound
        self.room = KEPT_PER_ROW * len(points)

    def __call__(self, tile: Tensor, left: Packed, right: Packed, rows: slice, cols: slice) -> None:
        """tile: half distances of these rows and columns; tiles on and above the diagonal are all that is needed."""
        if self.room < 0:
            return
        precision, left_error, right_error = left.precision, left.error(right), right.error(left)
        bits = tile.view(precision.integer)
        row_reach = self._raise(rows, bits.amax(1), left_error + right_error.max(), precision)
        col_reach = self._raise(cols, bits.amax(0), right_error + left_error.max(), precision)
        row, col = places(bits > row_reach[:, None].minimum(col_reach))
        upper = tile[row, col].double() * (1 + precision.result) + left_error[row] + right_error[col]
        self.found.append((row + rows.start, col + cols.start, upper))
        self.room -= len(row)

    def _raise(self, part: slice, bits: Tensor, slack: Tensor, precision: Precision) -> Tensor:
        """Raise the lower bounds of `part` to its largest entries; returns bits above which one may be farthest."""
        largest = bits.view(precision.dtype).double()
        self.most[part] = self.most[part].maximum(largest * (1 - precision.result) - slack)
        return bits_below((self.most[part] - slack) / (1 + precision.result), precision)

    def half_distances(self) -> Tensor:
        """(N,) float32, after the search: each row's largest half squared distance; 1 where all points coincide."""
        largest = torch.zeros(len(self.points), device=self.points.device)
        if self.room < 0:
            packed = pack(self.points, self.frame, FLOAT32)
            for rows in tiles(len(self.points), self.points.device):
                largest[rows] = half_distances(packed.as_left(rows), packed).amax(1)
        else:
            row, col, upper = (torch.cat(parts) for parts in zip(*self.found, strict=True))
            kept = upper >= self.most[row].minimum(self.most[col])
            row, col = row[kept], col[kept]
            far = pair_distances(self.points, self.points, row, col, self.frame.scale, largest.dtype) / 2
            for end in (row, col):
                largest.scatter_reduce_(0, end, far, "amax")
        return torch.where(largest > 0, largest, 1.0)
