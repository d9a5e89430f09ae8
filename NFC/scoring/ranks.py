"""Where the true matches of each query stand: counted from given distances, or from features.

With features, a fast product with a bounded error settles most comparisons of a true match with a wrong item; the
others are made between distances summed directly in float64. Queries with too many of those go through a float64
product first. So ranks are those of direct float64 sums (docs/search.md), and only a block of the Q x G distances is in
memory.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from pose2id.devices import AtOnce
from pose2id.errors import UserError

from ..datasets.rules import Exclude
from ..matching.distances import Distances
from ..neighbours.distances import pair_bounds, pair_distances, table_by_row
from ..neighbours.products import FLOAT64, Centring, Packed, Precision, error_bounds, multiply, pack, precisions
from ..neighbours.tiles import true_positions
from .sorted_rows import ordered_bits, places_between, sort_rows, sorted_with_columns

BLOCK = AtOnce(cpu=2**22, gpu=2**27)  # distances
MEASURED = AtOnce(cpu=2**16, gpu=2**22)  # pairs


@dataclass(frozen=True)
class RankLimits:
    """Sizes on which only time and memory depend, not the ranks."""

    precisions: tuple[Precision, ...] | None = None  # in turn, for the queries that the one before left undecided
    measured: int = 512  # wrong items of a query that are measured; with more it goes through the next precision
    measured_at_once: int | None = None  # None: what suits the device


@dataclass(frozen=True)
class Labels:
    """Who and where: pids and camids (Q,) or (G,) int64, and the rule for what is left out."""

    q_pids: Tensor
    q_camids: Tensor
    g_pids: Tensor
    g_camids: Tensor
    exclude: Exclude

    def excluded(self, rows: Tensor, cols: slice) -> Tensor:
        """(B, columns) bool: True where a gallery item does not exist for a query."""
        return self.exclude(self.q_pids[rows], self.q_camids[rows], self.g_pids[cols], self.g_camids[cols])

    def true_and_wrong(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """(B, G) bool each; what is left out is neither."""
        same, kept = self.q_pids[rows, None] == self.g_pids, self.excluded(rows, slice(None)).logical_not_()
        return same & kept, same.logical_not_().logical_and_(kept)

    def count_identities(self, items: Tensor) -> Tensor:
        """items: (B, G) bool. Returns (B,) int64: how many different pids they have."""
        pids, identity = self.g_pids.unique(return_inverse=True)
        seen = torch.zeros((len(items), len(pids)), dtype=torch.uint8, device=items.device)
        return seen.scatter_reduce_(1, identity.expand_as(items), items.to(torch.uint8), "amax").sum(1)


@dataclass(frozen=True)
class Ranks:
    """Of a block of queries, W being the largest number of true matches among them."""

    rows: Tensor  # (B,) int64: which queries
    hits: Tensor  # (B,) int64: true matches of each
    wrong_before: Tensor  # (B, W) int64: wrong items at most as far as the j-th nearest match; of no use from hits on
    wrong_before_first: Tensor  # (B,) int64: the same for the nearest, in pictures or identities


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
    query: Tensor, gallery: Tensor, labels: Labels, identities: bool, limits: RankLimits = RankLimits()
) -> Iterator[Ranks]:
    """query: (Q, d), gallery: (G, d). `identities`: the nearest true match is ranked among identities."""
    measured_at_once = limits.measured_at_once or MEASURED.on(query.device)
    counter = _Counter(query, gallery, labels, identities, measured_at_once, Centring.of(query, gallery))
    rows = torch.arange(len(query), device=query.device)
    for precision in limits.precisions or precisions(query.device):
        limit = limits.measured if precision is not FLOAT64 else len(gallery) ** 2
        packed, undecided = pack(gallery, counter.centring, precision), []
        for part in row_blocks(rows, len(gallery)):
            ranks, others = counter.count(part, packed, limit)
            yield ranks
            undecided.append(others)
        rows = torch.cat(undecided)
        if not len(rows):
            return


@dataclass(frozen=True)
class _Counter:
    query: Tensor
    gallery: Tensor
    labels: Labels
    identities: bool
    measured_at_once: int
    centring: Centring

    def count(self, rows: Tensor, gallery: Packed, limit: int) -> tuple[Ranks, Tensor]:
        """Ranks of those queries of `rows` for which at most `limit` wrong items are undecided, and the other rows."""
        true, wrong = self.labels.true_and_wrong(rows)
        row, col = true_positions(true)
        matches = table_by_row(row, self.measure(rows[row], col), len(rows))[0].sort(1).values  # (B, W)
        hits = row.bincount(minlength=len(rows))
        reference = matches.gather(1, hits[:, None] // 2).nan_to_num_(posinf=0.0)  # products near zero round least
        query = pack(self.query[rows], self.centring, gallery.precision)
        values = multiply(query.partner(reference[:, 0]), gallery.matrix, gallery.precision)
        keys, shift = sorted_with_columns(values, wrong)
        below, above = (ordered_bits(v).to(keys.dtype) for v in _thresholds(matches, reference, query, gallery))
        before, stop = torch.searchsorted(keys, below << shift), torch.searchsorted(keys, above + 1 << shift)

        settled = (stop - before).sum(1) <= limit
        row, place = places_between(before, torch.where(settled[:, None], stop, before))
        item = (keys[row, place] & ((1 << shift) - 1)).long()
        certain, nearest = before.clone(), wrong & (ordered_bits(values) < below[:, :1]) if self.identities else None
        for part in torch.arange(len(row), device=row.device).split(self.measured_at_once):
            r, i = row[part], item[part]
            nearer = self.at_most(rows[r], i, matches[r])
            before.index_add_(0, r, (nearer & (place[part, None] >= certain[r])).long())
            if nearest is not None:
                nearest[r, i] |= nearer[:, 0]
        first = before[:, 0] if nearest is None else self.labels.count_identities(nearest)
        return Ranks(rows[settled], hits[settled], before[settled], first[settled]), rows[~settled]

    def at_most(self, rows: Tensor, cols: Tensor, distances: Tensor) -> Tensor:
        """(P, W) bool: whether the pairs (P,) are at most as far as `distances` (P, W); bounds settle most."""
        bounds = pair_bounds(self.query, self.gallery, rows, cols, self.centring.scale)
        lower, upper = (bound[:, None] / 2 for bound in bounds)
        result = upper <= distances
        close = ((lower <= distances) & ~result).any(1)
        result[close] = self.measure(rows[close], cols[close])[:, None] <= distances[close]
        return result

    def measure(self, rows: Tensor, cols: Tensor) -> Tensor:
        """(P,) float64: half squared distances, summed directly."""
        return pair_distances(self.query, self.gallery, rows, cols, self.centring.scale) / 2


def _thresholds(distances: Tensor, reference: Tensor, query: Packed, gallery: Packed) -> tuple[Tensor, Tensor]:
    """(B, W) of the stored dtype: a value below the first is surely nearer than the distance, above the second farther.

    distances: (B, W), reference: (B, 1) float64; values are of half distances less the reference.
    """
    query_error, item_error = error_bounds(query, gallery)
    error = (query_error + item_error.max())[:, None] + reference * query.summation_error
    lower, upper = distances - reference - error, distances - reference + error
    storing, dtype = query.precision.storing, query.precision.stored
    return (lower / (1 + storing * lower.sign())).to(dtype), (upper / (1 - storing * upper.sign())).to(dtype)


def row_blocks(rows: Tensor, width: int) -> tuple[Tensor, ...]:
    """Parts of `rows` such that part x width is about a `BLOCK`."""
    return rows.split(BLOCK.rows(width, rows.device))
