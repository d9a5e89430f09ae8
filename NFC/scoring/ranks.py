"""Where the true matches of each query stand: counted from given distances, or from features.

With features, a fast product with a bounded error settles most comparisons of a true match with a wrong item; the
others are made between float32 products or, where these leave it open, distances summed directly in float64. Queries
with too many of those go through a float64 product first. So ranks are those of direct float64 sums (docs/search.md),
and only a block of the Q x G distances is in memory.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from pose2id.devices import AtOnce
from pose2id.errors import UserError

from ..matching.distances import Distances
from ..neighbours.distances import table_by_row
from ..neighbours.products import Centring, precisions
from ..neighbours.tiles import true_positions
from .labels import Labels
from .rank_counter import DEFAULT_LIMITS, RankCounter, RankLimits, Ranks
from .sorted_rows import sort_rows

BLOCK = AtOnce(cpu=2**23, gpu=2**27)  # distances


def ranks_by_distances(matrix: Distances, labels: Labels, identities: bool) -> Iterator[Ranks]:
    """matrix: (Q, G), smaller is nearer. `identities`: the nearest true match is ranked among identities."""
    for rows in row_blocks(torch.arange(matrix.shape[0], device=matrix.device), matrix.shape[1]):
        block = matrix[rows].double()
        if block.isnan().any():
            raise UserError("distances hold NaN")
        true, wrong = labels.true_and_wrong(rows)
        row, col = true_positions(true)
        matches = table_by_row(row, block[row, col], len(rows))[0].sort(1).values
        wrong_sorted = sort_rows(block.masked_fill(~wrong, torch.inf))
        before = torch.searchsorted(wrong_sorted, matches, right=True).minimum(wrong.sum(1, keepdim=True))
        first = labels.count_identities(wrong & (block <= matches[:, :1])) if identities else before[:, 0]
        yield Ranks(rows, true.sum(1), before, first)


def ranks_by_features(
    query: Tensor, gallery: Tensor, labels: Labels, identities: bool, limits: RankLimits = DEFAULT_LIMITS
) -> Iterator[Ranks]:
    """query: (Q, d), gallery: (G, d). `identities`: the nearest true match is ranked among identities."""
    centring = Centring.of(query, gallery)
    rows = torch.arange(len(query), device=query.device)
    for precision in limits.precisions or precisions(query.device):
        counter = RankCounter(query, gallery, labels, identities, limits, centring, precision)
        blocks, undecided = list(row_blocks(rows, len(gallery))), []
        while blocks:
            part = blocks.pop(0)
            ranks, others = counter.count(part)
            yield ranks
            undecided.append(others)
            if 2 * len(others) > len(part):  # the rest would most likely be multiplied in vain
                undecided += blocks
                break
        rows = torch.cat(undecided)
        if not len(rows):
            return


def row_blocks(rows: Tensor, width: int) -> tuple[Tensor, ...]:
    """Parts of `rows` such that part x width is about a `BLOCK`."""
    return rows.split(BLOCK.rows(width, rows.device))
