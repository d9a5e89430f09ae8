"""True matches of a block of queries and the wrong items about as far: compared by bounds where these suffice."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from ..neighbours.distances import pair_distances, row_bounds, table_by_row
from ..neighbours.products import FLOAT32, Centring, Packed, error_bounds, multiply_pairs, pack
from .sorted_rows import places_between


class BlockPairs:
    """Half squared distances of chosen pairs of a block of queries (B, d) and the gallery (G, d).

    finer: the gallery packed in float32, or None if all pairs are measured at once.
    """

    def __init__(self, queries: Tensor, gallery: Tensor, centring: Centring, finer: Packed | None) -> None:
        self.queries, self.gallery, self.scale = queries, gallery, centring.scale
        self.packed = (pack(queries, centring, FLOAT32), finer) if finer else None

    def measured(self, row: Tensor, item: Tensor) -> Tensor:
        """(P,) float64, summed directly; row and item: (P,) int64."""
        return pair_distances(self.queries, self.gallery, row, item, self.scale) / 2

    def bounds(self, row: Tensor, item: Tensor) -> tuple[Tensor, Tensor]:
        """Lower and upper bounds (P,) float64, those of one row equally far apart; the same number if measured."""
        if self.packed is None:
            exact = self.measured(row, item)
            return exact, exact
        query, gallery = self.packed
        half = multiply_pairs(gallery.matrix, query.partner(), item, row).double()
        row_error, item_error = error_bounds(query, gallery)
        error = (row_error + item_error.max())[row]
        return half - error, half + error


class TrueMatches:
    """Of each query of a block its true matches, W at most, nearest first as far as bounds tell.

    row, item: (P,) int64, by row. low, high: (B, W) float64 bounds, infinite behind the last match; hits: (B,) int64.
    """

    def __init__(self, pairs: BlockPairs, row: Tensor, item: Tensor) -> None:
        count = len(pairs.queries)
        lower, upper = pairs.bounds(row, item)
        table, self._starts = table_by_row(row, lower, count)
        self.low, self._order = table.sort(1)
        self.high = self.low if upper is lower else table_by_row(row, upper, count)[0].sort(1).values
        self.hits = row_bounds(row, count).diff()
        self.pairs, self._item = pairs, item

    def measure(self, cells: Tensor) -> None:
        """Put sums in place of the lower bounds of some, by their places in a flat (B, W)."""
        row = cells // self.low.shape[1]
        item = self._item[self._starts[row] + self._order.flatten()[cells]]
        self.low.view(-1)[cells] = self.pairs.measured(row, item)


class Settled(NamedTuple):
    """Of B queries with W true matches at most, and P near-ties."""

    counts: Tensor  # (B, W) int64: near-ties at most as far as each match
    distance: Tensor  # (P,) float64: numbers that compare with `TrueMatches.low` as the near-ties' distances do
    unsettled: Tensor  # (B,) bool: rows with too much to measure, whose numbers mean nothing


class NearTies:
    """Wrong items that may tie with true matches of their query.

    first, stop: (B, W) int64, ascending along W: from which place of a sorted row to which the items lie that may tie
    with a match. row, place: (P,) int64 of the items, each once.
    """

    def __init__(self, matches: TrueMatches, first: Tensor, stop: Tensor) -> None:
        self.matches, self.first = matches, first
        self.row, match, self.place = places_between(first, stop)
        self._cell = self.row * first.shape[1] + match

    def settle(self, item: Tensor, affordable: Callable[[Tensor], Tensor]) -> Settled:
        """Compare the items (P,) with the matches; what bounds leave open is measured, and the matches in question.

        Only in rows that are `affordable`, (B,) bool, by how many items (B,) of theirs that is.
        """
        matches, row = self.matches, self.row
        lower, upper = matches.pairs.bounds(row, item)
        low, high, cells = matches.low.flatten(), matches.high.flatten(), self.first.numel()
        counts, between = torch.zeros_like(self.first).flatten(), []
        for pair, cell in self._compared():
            nearer = upper[pair] <= low[cell]
            counts += cell[nearer].bincount(minlength=cells)
            if matches.pairs.packed is None:  # everything was measured
                continue
            between.append(torch.stack([pair, cell])[:, ~nearer & (lower[pair] <= high[cell])])
        pair, cell = torch.cat([*between, row.new_empty(2, 0)], 1)
        unsure = pair.unique()
        unsettled = ~affordable(row[unsure].bincount(minlength=len(matches.hits)))
        unsure, kept = unsure[~unsettled[row[unsure]]], ~unsettled[row[pair]]
        pair, cell = pair[kept], cell[kept]
        upper[unsure] = matches.pairs.measured(row[unsure], item[unsure])
        matches.measure(cell.unique())
        counts += cell[upper[pair] <= matches.low.flatten()[cell]].bincount(minlength=cells)
        return Settled(counts.view_as(self.first), upper, unsettled)

    def _compared(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Pairs and cells of (B, W): each of the P pairs with its first match, then those that reach the next too."""
        pair, cell, first = torch.arange(len(self.row), device=self.row.device), self._cell, self.first.flatten()
        last = torch.zeros_like(self.first, dtype=torch.bool)
        last[:, -1] = True
        while len(pair):
            yield pair, cell
            more = ~last.flatten()[cell]
            pair, cell = pair[more], cell[more] + 1
            more = self.place[pair] >= first[cell]
            pair, cell = pair[more], cell[more]
