"""Where the true matches of each query stand: counted from given distances, or from features.

With features, a fast product with a bounded error (`products`) settles most comparisons of a true match with a wrong
item; the others are made between distances summed directly in float64. Queries with too many of those go through the
next precision. So ranks are those of direct float64 sums, and only a block of the Q x G distances is in memory.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .errors import UserError
from .neighbours import float32_error, pair_distances
from .products import FLOAT64, Frame, Packed, bits_above, bits_below, half_distances, ladder, pack, places

BLOCK_ELEMENTS = 2**22  # entries of one block of distances
MEASURED_AT_ONCE = 2**16  # wrong items whose distances are summed directly
UNSURE_PER_QUERY = 512  # wrong items of a query that are measured; with more it is computed more precisely

# (q_pids (B,), q_camids (B,), g_pids (G,), g_camids (G,)) -> bool (B, G), True where an item does not exist for a query
Exclude = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


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
    for rows in row_blocks(torch.arange(len(matrix), device=matrix.device), matrix.shape[1]):
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
        slack = (left.error(right) + right.error(left).max())[:, None]
        below = bits_below((matches.distances - slack) / (1 + precision.result), precision)  # surely not farther
        above = bits_above((matches.distances + slack) / (1 - precision.result), precision)  # beyond: surely farther
        bits = half_distances(left.as_left(), right).clamp_(min=0).view(precision.integer)
        bits.masked_fill_(wrong.logical_not_(), torch.iinfo(precision.integer).max)

        ordered = _sort_rows(bits)
        ahead = torch.searchsorted(ordered, below, right=True)
        unsure = (torch.searchsorted(ordered, above, right=True) - ahead) * matches.real
        settled = unsure.sum(1) <= limit
        row, item = _items_between(bits, below, above, (unsure > 0) & settled[:, None])
        before = bits <= below[:, :1] if self.identities else None
        for start in range(0, len(row), MEASURED_AT_ONCE):
            r, i = row[start : start + MEASURED_AT_ONCE], item[start : start + MEASURED_AT_ONCE]
            nearer = self.nearer(rows[r], i, matches.distances[r])
            ahead.index_add_(0, r, (nearer & (bits[r, i][:, None] > below[r])).long())
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


def _items_between(bits: Tensor, below: Tensor, above: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Where `bits` (B, G) are in below < bits <= above for a wanted entry of those (B, W): rows, columns, each once.

    Ranges of a row ascend; those that overlap are searched as one.
    """
    row, slot = wanted.nonzero(as_tuple=True)
    lower, upper = below[row, slot], above[row, slot]
    apart = torch.ones_like(row, dtype=torch.bool)
    apart[1:] = (row[1:] != row[:-1]) | (lower[1:] >= upper[:-1])
    first = apart.nonzero()[:, 0]
    last = torch.cat([first[1:], first.new_full((1,), len(row))]) - 1
    row, lower, upper = row[first], lower[first], upper[last[: len(first)]]
    found = [(row[:0], row[:0])]
    for part in row_blocks(torch.arange(len(row), device=row.device), bits.shape[1]):
        own = bits[row[part]]
        match, col = places((own > lower[part, None]) & (own <= upper[part, None]))
        found.append((row[part][match], col))
    rows, cols = (torch.cat(parts) for parts in zip(*found, strict=True))
    return rows, cols


def row_blocks(rows: Tensor, width: int) -> tuple[Tensor, ...]:
    return rows.split(max(1, BLOCK_ELEMENTS // width))


def _sort_rows(values: Tensor) -> Tensor:
    """Values of each row in ascending order; NumPy's vectorised sort is the faster one on a CPU, one part a thread."""
    if values.device.type != "cpu":
        return values.sort(1).values
    result = values.clone()
    parts = np.array_split(result.numpy(), torch.get_num_threads())
    with ThreadPoolExecutor(len(parts)) as pool:
        list(pool.map(lambda part: part.sort(axis=1), parts))
    return result
