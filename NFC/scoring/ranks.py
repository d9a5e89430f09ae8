"""Where the true matches of each query stand: counted from given distances, or from features.

With features, a fast product with a bounded error settles most comparisons of a true match with a wrong item; the
others are made between distances summed directly in float64. Queries with too many of those go through a float64
product first. So ranks are those of direct float64 sums (docs/search.md), and only a block of the Q x G distances is in
memory.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pose2id.errors import UserError

from ..datasets.rules import Exclude
from ..neighbours.distances import pair_bounds, pair_distances, table_by_row
from ..neighbours.products import FLOAT64, Centring, Packed, Precision, error_bounds, multiply, pack, precisions
from ..neighbours.tiles import as_bits, true_positions

BLOCK_ELEMENTS = 2**22  # entries of one block of distances


@dataclass(frozen=True)
class RankLimits:
    """Sizes on which only time and memory depend, not the ranks."""

    precisions: tuple[Precision, ...] | None = None  # in turn, for the queries that the one before left undecided
    block: int | None = None  # entries of one block of distances
    measured: int = 512  # wrong items of a query that are measured; with more it goes through the next precision
    measured_at_once: int = 2**16


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


@dataclass(frozen=True)
class _Matches:
    """The true matches of a block, one row a query, nearest first."""

    distances: Tensor  # (B, W), zero from hits on
    real: Tensor  # (B, W) bool
    hits: Tensor  # (B,)

    @classmethod
    def sort(cls, rows: Tensor, distances: Tensor, count: int) -> "_Matches":
        """rows: (P,) int64 in ascending order, distances: (P,) of the true matches of `count` queries."""
        table, _ = table_by_row(rows, distances, count)
        hits = rows.bincount(minlength=count)
        real = torch.arange(table.shape[1], device=rows.device) < hits[:, None]
        return cls(table.sort(1).values.masked_fill_(~real, 0), real, hits)


def ranks_by_distances(matrix: Tensor, labels: Labels, identities: bool) -> Iterator[Ranks]:
    """matrix: (Q, G), smaller is nearer. `identities`: the nearest true match is ranked among identities."""
    for rows in row_blocks(torch.arange(len(matrix), device=matrix.device), matrix.shape[1]):
        block = matrix[rows].double()
        if block.isnan().any():
            raise UserError("distances hold NaN")
        true, wrong = labels.true_and_wrong(rows)
        row, col = true_positions(true)
        matches = _Matches.sort(row, block[row, col], len(rows))
        if identities:
            first = labels.count_identities(wrong & (block <= matches.distances[:, :1]))
        wrong_sorted = _sort_rows(block.masked_fill(~wrong, torch.inf))
        before = torch.searchsorted(wrong_sorted, matches.distances, right=True).minimum(wrong.sum(1, keepdim=True))
        yield Ranks(rows, matches.hits, before, first if identities else before[:, 0])


def ranks_by_features(
    query: Tensor, gallery: Tensor, labels: Labels, identities: bool, limits: RankLimits = RankLimits()
) -> Iterator[Ranks]:
    """query: (Q, d), gallery: (G, d). `identities`: the nearest true match is ranked among identities."""
    counter = _Counter(query, gallery, labels, identities, limits.measured_at_once, Centring.of(query, gallery))
    rows = torch.arange(len(query), device=query.device)
    for precision in limits.precisions or precisions(query.device):
        limit = limits.measured if precision is not FLOAT64 else len(gallery) ** 2
        packed, undecided = pack(gallery, counter.centring, precision), []
        for part in row_blocks(rows, len(gallery), limits.block):
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
        """Ranks of those queries of `rows` for which at most `limit` comparisons are undecided, and the other rows."""
        true, wrong = self.labels.true_and_wrong(rows)
        row, col = true_positions(true)
        matches = _Matches.sort(row, self.measure(rows[row], col), len(rows))
        query = pack(self.query[rows], self.centring, gallery.precision)
        reference = matches.distances.gather(1, matches.hits[:, None] // 2)  # products near zero are rounded least
        below, above = _thresholds(matches.distances, reference, query, gallery)
        values = multiply(query.partner(reference[:, 0]), gallery.matrix, gallery.precision)
        ordered = _Ordered.sort(values.masked_fill_(wrong.logical_not_(), torch.inf))

        before, stop = ordered.count_below(below), ordered.count_up_to(above)
        settled = ((stop - before) * matches.real).sum(1) <= limit
        row, place, item = ordered.items(before, stop, matches.real & settled[:, None])
        nearer_first, certain = values < below[:, :1] if self.identities else None, before.clone()
        for part in torch.arange(len(row), device=row.device).split(self.measured_at_once):
            r, i = row[part], item[part]
            nearer = self.at_most(rows[r], i, matches.distances[r])
            before.index_add_(0, r, (nearer & (place[part, None] >= certain[r])).long())
            if nearer_first is not None:
                nearer_first[r, i] |= nearer[:, 0]
        first = before[:, 0] if nearer_first is None else self.labels.count_identities(nearer_first)
        return Ranks(rows[settled], matches.hits[settled], before[settled], first[settled]), rows[~settled]

    def at_most(self, rows: Tensor, cols: Tensor, distances: Tensor) -> Tensor:
        """(P, W) bool: whether the pairs (P,) are at most as far as `distances` (P, W); bounds settle most."""
        lower, upper = (
            bound[:, None] / 2 for bound in pair_bounds(self.query, self.gallery, rows, cols, self.centring.scale)
        )
        result = upper <= distances
        undecided = ((lower <= distances) & ~result).any(1)
        result[undecided] = self.measure(rows[undecided], cols[undecided])[:, None] <= distances[undecided]
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


@dataclass(frozen=True)
class _Ordered:
    """Values (B, G) in ascending order, each together with its column."""

    keys: Tensor  # (B, G) integers that sort as the values do, then `shift` bits that hold the column
    shift: int

    @classmethod
    def sort(cls, values: Tensor) -> "_Ordered":
        count = values.shape[1]
        shift = (count - 1).bit_length()
        dtype = torch.int32 if values.itemsize == 2 and shift <= 16 else torch.int64
        columns = torch.arange(count, dtype=dtype, device=values.device)
        keys = _ordered_bits(values).to(dtype).bitwise_left_shift_(shift).bitwise_or_(columns)
        return cls(_sort_rows(keys), shift)

    def count_below(self, values: Tensor) -> Tensor:
        """(B, W) int64: how many of each row are less than `values` (B, W)."""
        return torch.searchsorted(self.keys, _ordered_bits(values).to(self.keys.dtype) << self.shift)

    def count_up_to(self, values: Tensor) -> Tensor:
        """The same with those that are equal."""
        return torch.searchsorted(self.keys, (_ordered_bits(values).to(self.keys.dtype) + 1) << self.shift)

    def items(self, first: Tensor, stop: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Rows, places and columns (P,) of what is in first <= place < stop, (B, W) ascending, of `wanted` (B, W)."""
        start = first.clone()
        start[:, 1:] = start[:, 1:].maximum(stop[:, :-1])  # each once
        counts = ((stop - start).clamp_(min=0) * wanted).flatten()
        place = torch.arange(int(counts.sum()), device=counts.device)
        place += (start.flatten() - (counts.cumsum(0) - counts)).repeat_interleave(counts)
        row = torch.arange(len(first), device=counts.device).repeat_interleave(counts.view_as(first).sum(1))
        return row, place, (self.keys[row, place] & ((1 << self.shift) - 1)).long()


def row_blocks(rows: Tensor, width: int, elements: int | None = None) -> tuple[Tensor, ...]:
    """Parts of `rows` such that part x width has `elements` entries, or as many as suit the cache."""
    return rows.split(max(1, (elements or BLOCK_ELEMENTS) // width))


def _ordered_bits(values: Tensor) -> Tensor:
    """Integers that sort as floats do, negative ones included."""
    bits = as_bits(values)
    return bits ^ (bits >> (8 * bits.itemsize - 1)).bitwise_and_(torch.iinfo(bits.dtype).max)


def _sort_rows(values: Tensor) -> Tensor:
    """Sort each row in place; NumPy's vectorised sort is the faster one on a CPU, one part a thread."""
    if values.device.type != "cpu":
        return values.sort(1).values
    parts = np.array_split(values.numpy(), torch.get_num_threads())
    with ThreadPoolExecutor(len(parts)) as pool:
        list(pool.map(lambda part: part.sort(axis=1), parts))
    return values
