"""The distances of SIM in blocks of queries; `similarity_inference.py` says what they are.

Beside a block, memory is the gallery's neighbour lists and its sparse k-reciprocal sets: G * (m + kg) numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor

from pose2id.arrays import as_feature_pair
from pose2id.devices import AtOnce
from pose2id.errors import UserError
from pose2id.settings.ranges import COUNT, SHARE, Range, check_ranges

from ..neighbours.distances import distance_matrix, nearest_columns, pair_distances
from ..neighbours.farthest import farthest_distances
from ..neighbours.search import nearest_neighbours
from ..neighbours.tiles import slices
from .distances import BetweenSets
from .neighbourhoods import InvertedLists, expanded_sets, with_unit_rows

BLOCK = AtOnce(cpu=2**22, gpu=2**26)  # distances or path lengths

CHOICES = {
    "mode": ("both", "graph", "mutual"),
    "reading": ("local", "literal", "in_place"),
    "weights": ("exp", "binary"),
}
RANGES = {"lambda_value": Range(0, 1e6), "alpha": SHARE, **dict.fromkeys(("k", "m", "kq", "kg"), COUNT)}


@dataclass(frozen=True)
class Numbers:
    """The numbers of SIM; by default its authors' for SYSU-MM01 with ten shots."""

    mode: str = "both"
    reading: str = "local"
    weights: str = "exp"
    lambda_value: float = 0.01  # length of an edge inside the gallery, in parts of one to a query
    k: int = 9  # paths that are averaged
    m: int = 20  # gallery pictures by way of which they go
    kq: int = 12  # neighbours of a query
    kg: int = 20  # neighbours of a gallery picture
    alpha: float = 0.3  # weight of the smoothed distance beside that of the sets

    def __post_init__(self) -> None:
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                raise UserError(f"{name} must be {' or '.join(allowed)}, got '{getattr(self, name)}'")
        check_ranges(self, RANGES)


@dataclass(frozen=True)
class InferredDistances(BetweenSets[Tensor]):
    """`similarity_inference_distances` of (Q, d) and (G, d), float64; rows are worked out when they are asked for."""

    numbers: Numbers
    near: Tensor  # (G, min(m, G)) int64: itself, then its nearest
    steps: Tensor  # the same, float64: how far they are, 0 for itself
    sets: InvertedLists | None  # R, by member; None where the mode needs none
    sizes: Tensor  # (G,) float64: sums of the weights of R

    @classmethod
    def between(cls, query: Tensor, gallery: Tensor, numbers: Numbers) -> "InferredDistances":
        """`UserError` for features that cannot be compared."""
        query, gallery = as_feature_pair(query, gallery)
        near, squares = nearest_neighbours(gallery, max(numbers.m - 1, numbers.kg))
        itself = torch.arange(len(gallery), device=gallery.device)[:, None]
        near, steps = torch.cat([itself, near], 1), torch.cat([torch.zeros_like(itself), squares.double().sqrt()], 1)
        sets, sizes = None, steps.new_zeros(len(gallery))
        if numbers.mode != "graph":
            weights = _reciprocal_weights(gallery, near, numbers)
            sets = InvertedLists.of(weights, gallery.device)
            sizes = torch.from_numpy(np.asarray(weights.sum(1)).ravel()).to(gallery.device)
        return cls(query, gallery, numbers, near[:, : numbers.m], steps[:, : numbers.m], sets, sizes)

    def parts(self) -> Sequence[Tensor]:
        """All rows, in blocks that suit the device."""
        rows = torch.arange(self.shape[0], device=self.device)
        return rows.split(BLOCK.rows(self.shape[1], self.device))

    @torch.no_grad()
    def __getitem__(self, rows: Tensor) -> Tensor:
        numbers, query = self.numbers, self.query[rows]
        columns = slices(len(self.gallery), self.device)
        smooth = torch.cat([distance_matrix(query, self.gallery[part]) for part in columns], 1)
        if numbers.mode != "mutual":
            smooth = self._literal(smooth) if numbers.reading == "literal" else self._smooth(smooth)
        if self.sets is None:
            return smooth
        scaled = _scaled(smooth.square())
        return self._set_distances(smooth, scaled).mul_(1 - numbers.alpha).add_(scaled, alpha=numbers.alpha)

    def _smooth(self, direct: Tensor) -> Tensor:
        """Plain distances (B, G) -> mean lengths of the k shortest paths by way of the neighbours of g."""
        one_by_one = self.numbers.reading == "in_place"
        result = direct.clone()
        before = result if one_by_one else direct
        width = 1 if one_by_one else BLOCK.rows(len(direct) * self.near.shape[1], self.device)
        for part in slices(direct.shape[1], self.device, width):
            lengths = before[:, self.near[part]].add_(self.steps[part], alpha=self.numbers.lambda_value)
            result[:, part] = _mean_of_smallest(lengths, self.numbers.k)
        return result

    def _literal(self, direct: Tensor) -> Tensor:
        """The same by way of the whole gallery.

        The k paths over the k gallery pictures nearest to the query are at most `slack` longer than their first edge,
        so one that begins with a longer edge is none of the k shortest.
        """
        result = torch.empty_like(direct)
        slack = 2 * self.numbers.lambda_value * float(self.gallery.double().norm(dim=1).max())
        for own, row in zip(result, direct, strict=True):
            kth = row.topk(min(self.numbers.k, len(row)), largest=False).values[-1]
            middle = (row <= kth + slack).nonzero()[:, 0]
            for part in slices(len(row), self.device, BLOCK.rows(len(middle), self.device)):
                onward = distance_matrix(self.gallery[part], self.gallery[middle])
                own[part] = _mean_of_smallest(row[middle] + self.numbers.lambda_value * onward, self.numbers.k)
        return result

    def _set_distances(self, smooth: Tensor, scaled: Tensor) -> Tensor:
        """(B, G): 1 - sum of minima / sum of maxima of the weights in N(q) and R(g)."""
        assert self.sets is not None
        _, members = nearest_columns(smooth, self.numbers.kq + 1)
        weights = torch.ones_like(members, dtype=scaled.dtype)
        if self.numbers.weights == "exp":
            weights = torch.exp(-scaled.gather(1, members))
            weights /= weights.sum(1, keepdim=True)
        row = torch.arange(len(members), device=self.device).repeat_interleave(members.shape[1])
        shared = self.sets.overlap(row, members.flatten(), weights.flatten(), len(members))
        union = (weights.sum(1, keepdim=True) + self.sizes).sub_(shared)
        return shared.div_(union).neg_().add_(1)


def _mean_of_smallest(lengths: Tensor, k: int) -> Tensor:
    """(..., M) -> (...): mean of the k smallest, of all where there are no more."""
    return lengths.topk(min(k, lengths.shape[-1]), largest=False).values.mean(-1)


def _scaled(squares: Tensor) -> Tensor:
    """(B, G) divided by the largest of their row; 0 where that is 0."""
    largest = squares.amax(1, keepdim=True)
    return squares.div_(largest.masked_fill_(largest == 0, 1))


def _reciprocal_weights(gallery: Tensor, near: Tensor, numbers: Numbers) -> csr_matrix:
    """(G, G) float64 sparse: the weight of each member of R(g), row by row."""
    sets = expanded_sets(near.cpu().numpy(), numbers.kg)
    values = np.ones(sets.nnz)
    if numbers.weights == "exp":
        row, col = (torch.from_numpy(part).long().to(gallery.device) for part in (sets.tocoo().row, sets.indices))
        largest = farthest_distances(gallery).square_()
        largest[largest == 0] = 1
        values = torch.exp(-pair_distances(gallery, gallery, row, col) / largest[row]).cpu().numpy()
    weights = csr_matrix((values, sets.indices, sets.indptr), shape=sets.shape)
    return with_unit_rows(weights) if numbers.weights == "exp" else weights
