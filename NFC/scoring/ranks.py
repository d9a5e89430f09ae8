"""Where the true matches of each query stand: counted from given distances, or from features.

With features, a fast product with a bounded error (`products`) settles most comparisons of a true match with a wrong
item; the others are made between distances summed directly in float64. Queries with too many of those go through the
next precision. So ranks are those of direct float64 sums, and only a block of the Q x G distances is in memory.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pose2id.errors import UserError

from ..datasets.rules import Exclude
from ..neighbours.products import FLOAT64, Frame, Packed, Precision, half_distances, ladder, ordered_bits, pack, places
from ..neighbours.search import float32_error, pair_distances

BLOCK_ELEMENTS = 2**22  # entries of one block of distances
MEASURED_AT_ONCE = 2**16  # wrong items whose distances are summed directly
UNSURE_PER_QUERY = 512  # wrong items of a query that are measured; with more it is computed more precisely


@dataclass(frozen=True)
class Labels:
    """Who and where: pids and camids (Q,) or (G,) int64, and the rule for what is left out."""

    q_pids: Tensor
    q_camids: Tensor
    g_pids: Tensor
    g_camids: Tensor
    exclude: Exclude

    def hidden(self, rows: Tensor, cols: slice) -> Tensor:
        """(B, columns) bool: True where a gallery item does not exist for a query."""
        return self.exclude(self.q_pids[rows], self.q_camids[rows], self.g_pids[cols], self.g_camids[cols])

    def true_and_wrong(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """(B, G) bool each; what is left out is neither."""
        same, kept = self.q_pids[rows, None] == self.g_pids, self.hidden(rows, slice(None)).logical_not_()
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
    ahead: Tensor  # (B, W) int64: wrong items at most as far as the j-th nearest true match; of no use from hits on
    ahead_of_first: Tensor  # (B,) int64: the same for the nearest, in pictures or identities


@dataclass(frozen=True)
class _Matches:
    """The true matches of a block, one row a query, nearest first."""

    distances: Tensor  # (B, W), zero from hits on
    real: Tensor  # (B, W) bool
    hits: Tensor  # (B,)

    @classmethod
    def sort(cls, rows: Tensor, distances: Tensor, count: int) -> "_Matches":
        """rows: (P,) int64 in ascending order, distances: (P,) of the true matches of `count` queries."""
        hits = rows.bincount(minlength=count)
        slots = torch.arange(len(rows), device=rows.device) - (hits.cumsum(0) - hits)[rows]
        width = max(1, int(hits.max()))
        table = distances.new_full((count, width), torch.inf)
        table[rows, slots] = distances
        real = torch.arange(width, device=rows.device) < hits[:, None]
        return cls(table.sort(1).values.masked_fill_(~real, 0), real, hits)


def ranks_by_distances(matrix: Tensor, labels: Labels, identities: bool) -> Iterator[Ranks]:
    """matrix: (Q, G), smaller is nearer. `identities`: the nearest true match is ranked among identities."""
    for rows in row_blocks(torch.arange(matrix.shape[0], device=matrix.device), matrix.shape[1]):
        block = matrix[rows].double()
        if block.isnan().any():
            raise UserError("distances hold NaN")
        true, wrong = labels.true_and_wrong(rows)
        row, col = places(true)
        matches = _Matches.sort(row, block[row, col], len(rows))
        if identities:
            before = labels.count_identities(wrong & (block <= matches.distances[:, :1]))
        wrong_sorted = _sort_rows(block.masked_fill(~wrong, torch.inf))
        ahead = torch.searchsorted(wrong_sorted, matches.distances, right=True).minimum(wrong.sum(1, keepdim=True))
        yield Ranks(rows, matches.hits, ahead, before if identities else ahead[:, 0])


def ranks_by_features(query: Tensor, gallery: Tensor, labels: Labels, identities: bool) -> Iterator[Ranks]:
    """query: (Q, d), gallery: (G, d). `identities`: the nearest true match is ranked among identities."""
    frame = Frame.around(query, gallery)
    counter = _Counter(query, gallery, labels, frame.scale, identities)
    rows = torch.arange(len(query), device=query.device)
    for precision in ladder(query.device):
        limit = UNSURE_PER_QUERY if precision is not FLOAT64 else len(gallery) ** 2
        right, unsure = pack(gallery, frame, precision), []
        parts = list(row_blocks(rows, len(gallery)))
        while parts:
            part = parts.pop()
            ranks, crowded = counter.count(part, pack(query[part], frame, precision), right, limit)
            yield ranks
            unsure.append(crowded)
            if 2 * len(crowded) > len(part):  # not worth it: the rest goes through the next precision at once
                unsure, parts = unsure + parts, []
        rows = torch.cat(unsure)
        if not len(rows):
            return


@dataclass(frozen=True)
class _Counter:
    query: Tensor
    gallery: Tensor
    labels: Labels
    scale: float
    identities: bool

    def count(self, rows: Tensor, left: Packed, right: Packed, limit: int) -> tuple[Ranks, Tensor]:
        """The ranks of those queries of `rows` for which at most `limit` comparisons are unsure, and the other rows."""
        precision = left.precision
        true, wrong = self.labels.true_and_wrong(rows)
        row, col = places(true)
        matches = _Matches.sort(row, self.measure(rows[row], col), len(rows))
        middle = matches.distances.gather(1, matches.hits[:, None] // 2)  # products near zero are rounded least
        slack = (left.error(right) + right.error(left).max())[:, None] + middle * left.rounding()
        nearest, farthest = matches.distances - middle - slack, matches.distances - middle + slack
        below = _ordered(nearest / (1 + precision.result * nearest.sign()), precision)  # less: surely not farther
        above = _ordered(farthest / (1 - precision.result * farthest.sign()), precision)  # more: surely farther
        bits = ordered_bits(half_distances(left.as_left(less=middle[:, 0]), right), precision)
        bits.masked_fill_(wrong.logical_not_(), torch.iinfo(precision.integer).max)

        ordered = _Ordered.sort(bits)
        ahead, reach = ordered.count_less(below), ordered.count_less(above + 1)
        settled = ((reach - ahead) * matches.real).sum(1) <= limit
        row, place, item = ordered.items(ahead, reach, matches.real & settled[:, None])
        before, certain = bits < below[:, :1] if self.identities else None, ahead.clone()
        for part in torch.arange(len(row), device=row.device).split(MEASURED_AT_ONCE):
            r, i = row[part], item[part]
            nearer = self.nearer(rows[r], i, matches.distances[r])
            ahead.index_add_(0, r, (nearer & (place[part, None] >= certain[r])).long())
            if before is not None:
                before[r, i] |= nearer[:, 0]
        first = ahead[:, 0] if before is None else self.labels.count_identities(before)
        return Ranks(rows[settled], matches.hits[settled], ahead[settled], first[settled]), rows[~settled]

    def nearer(self, rows: Tensor, cols: Tensor, distances: Tensor) -> Tensor:
        """(P, W) bool: which of `distances` (P, W) the items (P,) do not exceed; sums in float32 settle most."""
        if self.query.dtype == torch.float64:
            return self.measure(rows, cols)[:, None] <= distances
        dim = self.query.shape[1]
        rough = pair_distances(self.query, self.gallery, rows, cols, self.scale, torch.float32)[:, None].double() / 2
        slack = 2 * float32_error(dim) * rough + 8 * dim * torch.finfo(torch.float32).tiny
        result = rough <= distances
        unsure = ((rough - distances).abs_() <= slack).any(1)
        result[unsure] = self.measure(rows[unsure], cols[unsure])[:, None] <= distances[unsure]
        return result

    def measure(self, rows: Tensor, cols: Tensor) -> Tensor:
        """(P,) float64: half squared distances, summed directly."""
        return pair_distances(self.query, self.gallery, rows, cols, self.scale) / 2


def _ordered(bound: Tensor, precision: Precision) -> Tensor:
    """Bits of float64 numbers in the precision's dtype."""
    return ordered_bits(bound.to(precision.dtype), precision)


@dataclass(frozen=True)
class _Ordered:
    """Bits (B, G), as `ordered_bits` gives them, in ascending order together with where they stood."""

    keys: Tensor  # (B, G) bits, then `shift` bits that hold the column
    shift: int
    lost: int  # lowest bits that had to make room

    @classmethod
    def sort(cls, bits: Tensor) -> "_Ordered":
        count = bits.shape[1]
        shift = (count - 1).bit_length()
        dtype = torch.int32 if bits.dtype == torch.int16 and shift <= 16 else torch.int64
        lost = shift if bits.dtype == torch.int64 else 0
        keys = (bits >> lost).to(dtype) if lost else bits.to(dtype)
        columns = torch.arange(count, dtype=dtype, device=bits.device)
        return cls(_sort_rows(keys.bitwise_left_shift_(shift).bitwise_or_(columns)), shift, lost)

    def count_less(self, bits: Tensor) -> Tensor:
        """(B, W) int64: how many of each row are less than `bits` (B, W), less those that lost bits leave open."""
        return torch.searchsorted(self.keys, (bits >> self.lost).to(self.keys.dtype) << self.shift)

    def items(self, first: Tensor, stop: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Rows, places and columns (P,) of what is in first <= place < stop, (B, W) ascending, of `wanted` (B, W)."""
        start = first.clone()
        start[:, 1:] = start[:, 1:].maximum(stop[:, :-1])  # each once
        counts = ((stop - start).clamp_(min=0) * wanted).flatten()
        place = torch.arange(int(counts.sum()), device=counts.device)
        place += (start.flatten() - (counts.cumsum(0) - counts)).repeat_interleave(counts)
        row = torch.arange(len(first), device=counts.device).repeat_interleave(counts.view_as(first).sum(1))
        return row, place, (self.keys[row, place] & ((1 << self.shift) - 1)).long()


def row_blocks(rows: Tensor, width: int) -> tuple[Tensor, ...]:
    return rows.split(max(1, BLOCK_ELEMENTS // width))


def _sort_rows(values: Tensor) -> Tensor:
    """Sort each row in place; NumPy's vectorised sort is the faster one on a CPU, one part a thread."""
    if values.device.type != "cpu":
        return values.sort(1).values
    parts = np.array_split(values.numpy(), torch.get_num_threads())
    with ThreadPoolExecutor(len(parts)) as pool:
        list(pool.map(lambda part: part.sort(axis=1), parts))
    return values
