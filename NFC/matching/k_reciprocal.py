"""k-reciprocal re-ranking with sparse sets: memory grows as N k, never N x N."""

import warnings
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor

from pose2id.arrays import Array, as_feature_pair, as_features, in_kind
from pose2id.devices import AtOnce
from pose2id.errors import UserError

from ..features.feature_set import FeatureSet
from ..features.kinds import KINDS, JoinedFeatures, VectorFeatures
from ..neighbours.distances import nearest_columns
from ..neighbours.farthest import farthest_distances
from ..neighbours.products import FLOAT32, Centring, Packed, pack
from ..neighbours.search import nearest_neighbours
from ..neighbours.tiles import rectangular_tiles
from .base import Matcher
from .distances import Distances, JoinedDistances
from .neighbourhoods import InvertedLists, expanded_sets, membership, with_unit_rows

BLOCK = AtOnce(cpu=2**22, gpu=2**26)  # distances
ORIGINAL = AtOnce(cpu=2048, gpu=4096)  # rows and columns of original distances


@torch.no_grad()
def k_reciprocal_rerank(query: Array, gallery: Array, k1: int = 20, k2: int = 6, lambda_value: float = 0.3) -> Array:
    """Distances re-ranked by the overlap of k-reciprocal neighbourhoods.

    query: (Q, d), gallery: (G, d) floating, NumPy or torch, any device; only the sets are worked out on the CPU, with
    SciPy. Neighbourhoods are taken over queries and gallery together; each set starts with the sample itself. Original
    distances are squared Euclidean, divided by the largest of their row. Returns (Q, G) float32 of the kind and device
    of `query`: (1 - lambda_value) * Jaccard distance + lambda_value * original distance.
    Raises `UserError` (a ValueError) for k < 1, lambda outside [0, 1], NaN, infinity, empty sets or sizes that differ.
    Source: Zhong et al., "Re-ranking Person Re-identification with k-reciprocal Encoding", CVPR 2017.
    """
    a, b = as_feature_pair(query, gallery)
    _check(k1, k2, lambda_value)
    centring = Centring.of(a, b)
    weights, largest = _neighbourhoods(torch.cat([a, b]), centring, k1, k2)
    result = _jaccard(weights, len(a), a.device).mul_(1 - lambda_value)
    for tile in rectangular_tiles(a, b, centring, FLOAT32, ORIGINAL.on(a.device)):
        distances = tile.values.clamp_(min=0).div_(largest[tile.rows, None])
        result[tile.rows, tile.cols].add_(distances, alpha=lambda_value)
    return in_kind(result, query)


def _neighbourhoods(points: Tensor, centring: Centring, k1: int, k2: int) -> tuple[csr_matrix, Tensor]:
    """Of points (N, d): weights of expanded neighbourhoods, rows of sum 1, and half the largest squares (N,)."""
    largest = (farthest_distances(points) * centring.scale).square().div_(2).float()
    largest[largest == 0] = 1
    nearest, _ = nearest_neighbours(points, max(k1, k2 - 1))
    nearest = np.column_stack([np.arange(len(points)), nearest.cpu().numpy()])
    weights = with_unit_rows(_weigh(expanded_sets(nearest, k1), pack(points, centring, FLOAT32), largest))
    return with_unit_rows(membership(nearest[:, :k2]) @ weights), largest


def _weigh(sets: csr_matrix, packed: Packed, largest: Tensor) -> csr_matrix:
    """exp(-distance) in place of each entry of `sets`, distances being divided by the largest of their row."""
    left, right = packed.partner(), packed.matrix.T  # left @ right: half squared distances
    with warnings.catch_warnings():  # PyTorch calls its sparse support a beta
        warnings.simplefilter("ignore", UserWarning)
        parts = (torch.from_numpy(part).to(left.device) for part in (sets.indptr, sets.indices, sets.data))
        pattern = torch.sparse_csr_tensor(*parts, size=sets.shape)
        distances = torch.sparse.sampled_addmm(pattern, left, right, beta=0).values()
    counts = torch.from_numpy(np.diff(sets.indptr)).to(left.device)
    values = torch.exp(-distances.clamp_(min=0) / largest.repeat_interleave(counts))
    return csr_matrix((values.cpu().numpy(), sets.indices, sets.indptr), shape=sets.shape)


@torch.no_grad()
def k_reciprocal_from_distances(
    query_gallery: Array,
    query_query: Array,
    gallery_gallery: Array,
    k1: int = 20,
    k2: int = 6,
    lambda_value: float = 0.3,
) -> Array:
    """`k_reciprocal_rerank` of any symmetric distances: (Q, G), (Q, Q) and (G, G) floating, NumPy or torch.

    They are taken as they are, not squared, so a sample stands where its distance to itself puts it; one that is nearer
    to k1 others is not in its own set. Returns (Q, G) float32 of the kind and device of the first.
    Source: the re-ranking of AlignedReID++, whose distance of a picture to itself is not 0.
    """
    across = as_features(query_gallery, "query_gallery")
    queries, gallery = (
        as_features(given, name).to(across)
        for given, name in ((query_query, "query_query"), (gallery_gallery, "gallery_gallery"))
    )
    sizes = [(count, count) for count in across.shape]
    if [tuple(queries.shape), tuple(gallery.shape)] != sizes:
        raise UserError(f"need distances {sizes[0]} and {sizes[1]}, got {tuple(queries.shape)}, {tuple(gallery.shape)}")
    whole = torch.cat([torch.cat([queries, across], dim=1), torch.cat([across.T, gallery], dim=1)])
    return in_kind(rerank_distances(whole, len(across), k1, k2, lambda_value), query_gallery)


@torch.no_grad()
def rerank_distances(distances: Distances, queries: int, k1: int, k2: int, lambda_value: float) -> Tensor:
    """The same of (N, N) `distances` between `queries` and then gallery items; each row is asked for twice."""
    _check(k1, k2, lambda_value)
    blocks = torch.arange(distances.shape[0], device=distances.device).split(
        BLOCK.rows(distances.shape[0], distances.device)
    )
    found = [
        (nearest_columns(block, max(k1 + 1, k2))[1], block.amax(1)) for block in map(distances.__getitem__, blocks)
    ]
    nearest, largest = (torch.cat(parts) for parts in zip(*found, strict=True))
    largest[largest == 0] = 1
    nearest = nearest.cpu().numpy()

    weights = expanded_sets(nearest, k1)
    original = torch.empty(queries, distances.shape[0] - queries, device=distances.device)
    for rows in blocks:
        first, last = int(rows[0]), int(rows[-1]) + 1
        block = distances[rows] / largest[rows, None]
        original[first:last] = block[: max(0, queries - first), queries:]
        start = weights.indptr[first : last + 1]
        members = slice(start[0], start[-1])
        row, column = (
            torch.from_numpy(index).long().to(block.device)
            for index in (np.arange(last - first).repeat(np.diff(start)), weights.indices[members])
        )
        weights.data[members] = torch.exp(-block[row, column]).cpu().numpy()
    weights = with_unit_rows(weights)
    if k2 > 1:  # with one, a sample keeps its own weights, whether or not it is its own nearest
        neighbours = nearest[:, :k2]
        weights = membership(neighbours) @ weights
        weights.data /= neighbours.shape[1]
    return _jaccard(weights, queries, distances.device).mul_(1 - lambda_value).add_(original, alpha=lambda_value)


def _jaccard(weights: csr_matrix, queries: int, device: torch.device) -> Tensor:
    """(Q, G) float32: 1 - sum(min) / sum(max) between the rows of queries and of gallery items, which sum to 1."""
    own = weights[:queries].tocoo()
    row, col, weight = (torch.from_numpy(part).to(device) for part in (own.row, own.col, own.data))
    shared = InvertedLists.of(weights[queries:], device).overlap(row.long(), col.long(), weight, queries)
    # 1 - shared / (2 - shared) in place: at this size another array costs more than the arithmetic
    return shared.neg_().add_(2).reciprocal_().mul_(-2).add_(2)


def _check(k1: int, k2: int, lambda_value: float) -> None:
    if min(k1, k2) < 1 or not 0 <= lambda_value <= 1:
        raise UserError(f"need k1, k2 >= 1 and 0 <= lambda_value <= 1, got {k1}, {k2}, {lambda_value}")


@dataclass(frozen=True)
class KReciprocal(Matcher):
    """k-reciprocal re-ranking; lambda_value is the weight of the original distance.

    That is the squared Euclidean one of vectors, and the kind's own of those that are joined number by number.
    """

    name: ClassVar[str] = "k_reciprocal"
    kinds: ClassVar[tuple[str, ...]] = tuple(
        name for name, kind in KINDS.items() if issubclass(kind, VectorFeatures | JoinedFeatures)
    )

    k1: int = 20
    k2: int = 6
    lambda_value: float = 0.3

    def __post_init__(self) -> None:
        _check(self.k1, self.k2, self.lambda_value)

    @property
    def label(self) -> str:
        return "re-ranked"

    def distances(self, query: FeatureSet, gallery: FeatureSet) -> Tensor:
        numbers = self.k1, self.k2, self.lambda_value
        if isinstance(query.feats, VectorFeatures):
            return k_reciprocal_rerank(query.feats.values, gallery.feats.values, *numbers)
        everything = type(query.feats).cat([query.feats.check("query"), gallery.feats.check("gallery")])
        return rerank_distances(JoinedDistances(everything, everything), len(query.feats), *numbers)
