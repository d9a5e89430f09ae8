"""Counts, for each true match of a query, the wrong items at most as far, from products in one precision."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from ..neighbours.distances import pair_distances, table_by_row
from ..neighbours.products import (
    FLOAT32,
    FLOAT64,
    Centring,
    Packed,
    Precision,
    error_bounds,
    multiply,
    multiply_pairs,
    pack,
)
from ..neighbours.tiles import true_positions
from .labels import Labels
from .sorted_rows import ordered_bits, places_between, sorted_rows


@dataclass(frozen=True)
class RankLimits:
    """Sizes on which only time and memory depend, not the ranks."""

    precisions: tuple[Precision, ...] | None = None  # in turn, for the queries that the one before left undecided
    multiplied: int = 1024  # near-ties a query, on average over a block, that are multiplied one by one
    measured: int = 128  # of those, near-ties that are measured; queries with the most go through the next precision


DEFAULT_LIMITS = RankLimits()


@dataclass(frozen=True)
class Ranks:
    """Of a block of queries, W being the largest number of true matches among them."""

    rows: Tensor  # (B,) int64: which queries
    hits: Tensor  # (B,) int64: true matches of each
    wrong_before: Tensor  # (B, W) int64: wrong items at most as far as the j-th nearest match; of no use from hits on
    wrong_before_first: Tensor  # (B,) int64: the same for the nearest, in pictures or identities


class RankCounter:
    """query: (Q, d), gallery: (G, d). `identities`: the nearest true match is ranked among identities."""

    def __init__(
        self,
        query: Tensor,
        gallery: Tensor,
        labels: Labels,
        identities: bool,
        limits: RankLimits,
        centring: Centring,
        precision: Precision,
    ) -> None:
        self.query, self.gallery, self.labels, self.identities = query, gallery, labels, identities
        self.limits, self.centring = limits, centring
        self.last = precision is FLOAT64
        self.packed = pack(gallery, centring, precision)
        self.finer = pack(gallery, centring, FLOAT32) if precision.dtype == torch.bfloat16 else None
        self.most = limits.measured if self.finer is None else limits.multiplied

    def count(self, rows: Tensor) -> tuple[Ranks, Tensor]:
        """Ranks of those queries of `rows` that leave few wrong items undecided, and the other rows."""
        true, wrong = self.labels.true_and_wrong(rows)
        row, col = true_positions(true)
        matches = table_by_row(row, self.measure(rows[row], col), len(rows))[0].sort(1).values  # (B, W)
        hits = row.bincount(minlength=len(rows))
        reference = matches.gather(1, hits[:, None] // 2).nan_to_num_(posinf=0.0)  # products near zero round least
        query = pack(self.query[rows], self.centring, self.packed.precision)
        values = multiply(query.partner(reference[:, 0]), self.packed.matrix, self.packed.precision)
        below, above = _thresholds(matches, reference, query, self.packed)
        last = above.gather(1, (hits - 1).clamp(min=0)[:, None]).clamp_(min=0)
        wanted = sorted_rows(values, wrong, torch.where(hits[:, None] > 0, last, 0))
        before, stop = wanted.places(ordered_bits(below)), wanted.places(ordered_bits(above) + 1)

        settled = self.affordable((stop - before).sum(1), self.most)
        row, match, place = places_between(before, torch.where(settled[:, None], stop, before))
        item = wanted.columns(place)
        ties = partial(_ties, before, row, match, place)
        distance, unsettled = self.distances(rows, row, item, matches, ties())
        settled &= ~unsettled
        counts = before - wanted.starts
        for pair, j in ties():
            at_most = distance[pair] <= matches[row[pair], j]
            counts.index_put_((row[pair], j), at_most.long(), accumulate=True)

        first = counts[:, 0]
        if self.identities:
            nearest = torch.zeros_like(wrong)
            near_row, _, near = places_between(wanted.starts, before[:, :1])
            nearest[near_row, wanted.columns(near)] = True
            nearest[row, item] |= distance <= matches[row, 0]
            first = self.labels.count_identities(nearest)
        return Ranks(rows[settled], hits[settled], counts[settled], first[settled]), rows[~settled]

    def distances(
        self, rows: Tensor, row: Tensor, item: Tensor, matches: Tensor, ties: Iterator[tuple[Tensor, Tensor]]
    ) -> tuple[Tensor, Tensor]:
        """Half distances (P,) float64, or upper bounds that compare with the matches as these do; `row` is in `rows`.

        matches: (B, W), ties: pairs, and the columns of `matches` they are compared with. Also returns (B,) bool: the
        rows in which too many pairs need measuring, whose numbers mean nothing.
        """
        if self.finer is None:
            return self.measure(rows[row], item), torch.zeros_like(rows, dtype=torch.bool)
        query = pack(self.query[rows], self.centring, FLOAT32)
        half = multiply_pairs(self.finer.matrix, query.partner(), item, row).double()
        row_error, col_error = error_bounds(query, self.finer)
        error = row_error[row] + col_error[item]
        lower, upper = half - error, half + error
        unsure = torch.zeros_like(row, dtype=torch.bool)
        for pair, j in ties:
            match = matches[row[pair], j]
            unsure[pair] |= (lower[pair] <= match) & (match < upper[pair])
        unsettled = ~self.affordable(row[unsure].bincount(minlength=len(rows)), self.limits.measured)
        unsure &= ~unsettled[row]
        upper[unsure] = self.measure(rows[row[unsure]], item[unsure])
        return upper, unsettled

    def affordable(self, counts: Tensor, average: int) -> Tensor:
        """(B,) bool: as many rows, those with the least `counts` (B,) first, as have `average` on average over all."""
        if self.last:
            return torch.ones_like(counts, dtype=torch.bool)
        order = counts.argsort()
        return (counts[order].cumsum(0) <= average * len(counts))[order.argsort()]

    def measure(self, rows: Tensor, cols: Tensor) -> Tensor:
        """(P,) float64: half squared distances, summed directly."""
        return pair_distances(self.query, self.gallery, rows, cols, self.centring.scale) / 2


def _ties(first: Tensor, row: Tensor, match: Tensor, place: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Pairs and matches: first each of the pairs (P,) with its `match`, then those that reach the next one as well.

    first: (B, W), where the places that may tie with a match begin.
    """
    pair = torch.arange(len(row), device=row.device)
    while len(pair):
        yield pair, match
        match = match + 1
        more = match < first.shape[1]
        pair, match = pair[more], match[more]
        more = place[pair] >= first[row[pair], match]
        pair, match = pair[more], match[more]


def _thresholds(distances: Tensor, reference: Tensor, query: Packed, gallery: Packed) -> tuple[Tensor, Tensor]:
    """(B, W) of the stored dtype: a value below the first is surely nearer than the distance, above the second farther.

    distances: (B, W), reference: (B, 1) float64; values are of half distances less the reference.
    """
    query_error, item_error = error_bounds(query, gallery)
    error = (query_error + item_error.max())[:, None] + reference * query.summation_error
    lower, upper = distances - reference - error, distances - reference + error
    storing, dtype = query.precision.storing, query.precision.stored
    return (lower / (1 + storing * lower.sign())).to(dtype), (upper / (1 - storing * upper.sign())).to(dtype)
