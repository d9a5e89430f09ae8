"""Counts, for each true match of a query, the wrong items at most as far, from products in one precision."""

from dataclasses import dataclass

import torch
from torch import Tensor

from pose2id.devices import runs_triton

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
from .comparison import Affordable, Block, Compare, compare_at_once, compare_sorted
from .labels import Labels
from .near_ties import BlockPairs, TrueMatches


@dataclass(frozen=True)
class RankLimits:
    """Sizes on which only time and memory depend, not the ranks."""

    precisions: tuple[Precision, ...] | None = None  # in turn, for the queries that the one before left undecided
    looked_at: int = 1024  # near-ties a query, on average over a block, that are looked at one by one
    measured: int = 128  # of those, the ones measured where bounds come first; the rest of the queries go on


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
        self.centring = centring
        fast, at_once = precision.dtype == torch.bfloat16, runs_triton(query.device)
        self.packed = pack(gallery, centring, precision)
        self.finer = pack(gallery, centring, FLOAT32) if fast and not at_once else None
        self.compare: Compare = compare_at_once if at_once else compare_sorted
        looked_at = limits.looked_at if fast else limits.measured
        self.affordable = Affordable(looked_at, limits.measured, everything=precision is FLOAT64)

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
        last = torch.where(hits[:, None] > 0, last, 0)
        compared = self.compare(Block(matches, values, wrong, below, above, last), self.affordable)
        absent = torch.arange(below.shape[1], device=rows.device) >= hits[:, None]
        counts = compared.counts.masked_fill(absent, len(self.gallery)).sort(1).values  # bounds may mistake their order

        first = counts[:, 0]
        if self.identities:
            nearest = wrong & (values < below[:, :1])
            row, item = compared.row, compared.item
            nearest[row, item] |= compared.distance <= matches.low.amin(1)[row]
            first = self.labels.count_identities(nearest)
        kept = compared.settled.nonzero()[:, 0]
        return Ranks(rows[kept], hits[kept], counts[kept], first[kept]), rows[~compared.settled]


def _thresholds(matches: TrueMatches, reference: Tensor, query: Packed, gallery: Packed) -> tuple[Tensor, Tensor]:
    """(B, W) of the stored dtype: a value below the first is surely nearer than the match, above the second farther.

    reference: (B, 1) float64; values are of half distances less the reference.
    """
    query_error, item_error = error_bounds(query, gallery)
    error = (query_error + item_error.max())[:, None] + reference * query.summation_error
    lower, upper = matches.low - reference - error, matches.high - reference + error
    storing, dtype = query.precision.storing, query.precision.stored
    return (lower / (1 + storing * lower.sign())).to(dtype), (upper / (1 - storing * upper.sign())).to(dtype)
