"""Counts, for each true match of a query, the wrong items at most as far, from products in one precision."""

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from ..neighbours.products import (
    FLOAT32,
    FLOAT64,
    Centring,
    Packed,
    Precision,
    error_bounds,
    multiply,
    pack,
)
from ..neighbours.tiles import true_positions
from .labels import Labels
from .near_ties import BlockPairs, NearTies, TrueMatches
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
        queries = self.query[rows]
        pairs = BlockPairs(queries, self.gallery, self.centring, self.finer)
        matches = TrueMatches(pairs, *true_positions(true))
        hits = matches.hits
        reference = matches.low.gather(1, hits[:, None] // 2).nan_to_num_(posinf=0.0)  # products near zero round least
        query = pack(queries, self.centring, self.packed.precision)
        values = multiply(query.partner(reference[:, 0]), self.packed.matrix, self.packed.precision)
        below, above = _thresholds(matches, reference, query, self.packed)
        last = above.gather(1, (hits - 1).clamp(min=0)[:, None]).clamp_(min=0)
        wanted = sorted_rows(values, wrong, torch.where(hits[:, None] > 0, last, 0))
        before, stop = wanted.places(ordered_bits(below)), wanted.places(ordered_bits(above) + 1)

        settled = self.affordable((stop - before).sum(1), self.most)
        ties = NearTies(matches, before, torch.where(settled[:, None], stop, before))
        item = wanted.columns(ties.place)
        found = ties.settle(item, partial(self.affordable, average=self.limits.measured))
        settled &= ~found.unsettled
        counts = before - wanted.starts + found.counts
        absent = torch.arange(counts.shape[1], device=counts.device) >= hits[:, None]
        counts = counts.masked_fill_(absent, len(self.gallery)).sort(1).values  # bounds may mistake the matches' order

        first = counts[:, 0]
        if self.identities:
            nearest = torch.zeros_like(wrong)
            near_row, _, near = places_between(wanted.starts, before[:, :1])
            nearest[near_row, wanted.columns(near)] = True
            nearest[ties.row, item] |= found.distance <= matches.low.amin(1)[ties.row]
            first = self.labels.count_identities(nearest)
        return Ranks(rows[settled], hits[settled], counts[settled], first[settled]), rows[~settled]

    def affordable(self, counts: Tensor, average: int) -> Tensor:
        """(B,) bool: as many rows, those with the least `counts` (B,) first, as have `average` on average over all."""
        if self.last:
            return torch.ones_like(counts, dtype=torch.bool)
        order = counts.argsort()
        return (counts[order].cumsum(0) <= average * len(counts))[order.argsort()]


def _thresholds(matches: TrueMatches, reference: Tensor, query: Packed, gallery: Packed) -> tuple[Tensor, Tensor]:
    """(B, W) of the stored dtype: a value below the first is surely nearer than the match, above the second farther.

    reference: (B, 1) float64; values are of half distances less the reference.
    """
    query_error, item_error = error_bounds(query, gallery)
    error = (query_error + item_error.max())[:, None] + reference * query.summation_error
    lower, upper = matches.low - reference - error, matches.high - reference + error
    storing, dtype = query.precision.storing, query.precision.stored
    return (lower / (1 + storing * lower.sign())).to(dtype), (upper / (1 - storing * upper.sign())).to(dtype)
