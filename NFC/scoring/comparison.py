"""What bounds leave open between the true matches of a block of queries and its wrong items, settled: in two ways.

One sorts the wrong items that are near enough, the other looks at each value once, with a kernel.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from pose2id.devices import AtOnce

from .near_ties import NearTies, TrueMatches
from .sorted_rows import ordered_bits, sorted_rows

LOOKED_UP = AtOnce(cpu=2**22, gpu=2**26)  # distances of matches


@dataclass(frozen=True)
class Block:
    """B queries: products with their true matches' intervals, all of one dtype.

    values: (B, G); wrong: (B, G) bool; below, above: (B, W): a value below the first is surely nearer than the match,
    above the second farther. last: (B, 1), the largest `above` of each that is finite.
    """

    matches: TrueMatches
    values: Tensor
    wrong: Tensor
    below: Tensor
    above: Tensor
    last: Tensor


class Affordable(NamedTuple):
    """How many near-ties a query, on average over a block, may be looked at and, of those, measured."""

    looked_at: int
    measured: int
    everything: bool

    def rows(self, counts: Tensor, average: int) -> Tensor:
        """(B,) bool: as many rows, those with the least `counts` (B,) first, as have `average` on average over all."""
        if self.everything:
            return torch.ones_like(counts, dtype=torch.bool)
        order = counts.argsort()
        return (counts[order].cumsum(0) <= average * len(counts))[order.argsort()]


class Compared(NamedTuple):
    """counts: (B, W) int64, wrong items at most as far as each match, in rows that are settled (B,) bool.

    row, item, distance: (P,), near-ties of these rows, each once, and numbers that compare with `TrueMatches.low`.
    """

    counts: Tensor
    settled: Tensor
    row: Tensor
    item: Tensor
    distance: Tensor


Compare = Callable[[Block, Affordable], Compared]


def compare_sorted(block: Block, affordable: Affordable) -> Compared:
    """By sorting what is at most as far as the farthest match; near-ties are bounded before they are measured."""
    wanted = sorted_rows(block.values, block.wrong, block.last)
    before, stop = wanted.places(ordered_bits(block.below)), wanted.places(ordered_bits(block.above) + 1)
    settled = affordable.rows((stop - before).sum(1), affordable.looked_at)
    ties = NearTies(block.matches, before, torch.where(settled[:, None], stop, before))
    item = wanted.columns(ties.place)
    found = ties.settle(item, partial(affordable.rows, average=affordable.measured))
    settled &= ~found.unsettled
    return Compared(before - wanted.starts + found.counts, settled, ties.row, item, found.distance)


def compare_at_once(block: Block, affordable: Affordable) -> Compared:
    """By a kernel that lists the near-ties, all of which are measured."""
    from .kernels import compare_with_matches  # Triton is not everywhere

    (rows, items), matches = block.values.shape, block.matches
    products = block.values, block.wrong, block.below, block.above
    room = min(affordable.looked_at * rows, block.values.numel())
    nearer, ties, place, total = compare_with_matches(*products, block.last, room)
    settled = torch.ones_like(ties, dtype=torch.bool)
    if total > room:
        settled = affordable.rows(ties, affordable.looked_at)
        last, room = block.last.masked_fill(~settled[:, None], -torch.inf), int((ties * settled).sum())
        nearer, ties, place, _ = compare_with_matches(*products, last, room)
    row = place // items
    item = place - row * items
    distance = matches.pairs.measured(row, item)
    counts = torch.zeros(rows, matches.low.shape[1] + 1, dtype=torch.int64, device=row.device)
    cell = row * counts.shape[1] + _nearer_matches(matches.low, row, distance)
    counts.view(-1).index_add_(0, cell, torch.ones_like(cell))
    return Compared((counts[:, :-1] + nearer).cumsum(1), settled, row, item, distance)


def _nearer_matches(low: Tensor, row: Tensor, distance: Tensor) -> Tensor:
    """(P,) int64: how many of the row's numbers in (B, W) are below each distance (P,)."""
    size = LOOKED_UP.rows(low.shape[1], low.device)
    parts = zip(row.split(size), distance.split(size), strict=True)
    return torch.cat([(low[rows] < distances[:, None]).sum(1) for rows, distances in parts])
