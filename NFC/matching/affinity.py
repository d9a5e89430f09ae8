"""Affinity inference of SAAI (Fang et al., ICCV 2023): distances that also compare whom two pictures resemble."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from pose2id.arrays import Array, as_feature_pair, in_kind
from pose2id.devices import AtOnce
from pose2id.errors import UserError

from ..features.feature_set import FeatureSet
from ..features.kinds import VectorFeatures
from .base import Matcher

BLOCK = AtOnce(cpu=2**22, gpu=2**26)  # similarities


@torch.no_grad()
def affinity_distances(query: Array, gallery: Array, k1: int = 4, k2: int = 1) -> Array:
    """Distance = -(a_q . a_g) - q . g, with a_i the affinities of i to the gallery, of unit length.

    a_q holds the similarities of q to its k1 most similar gallery pictures (and to those that tie with the k1-th), zero
    elsewhere; a_g is the mean of such rows over the k2 gallery pictures most similar to g, itself among them.

    query: (Q, d), gallery: (G, d) floating, L2-normalised, NumPy or torch, any device; k1 and k2 beyond G mean all of
    it. Returns (Q, G) float32 of the same kind. It depends on the whole gallery: call it once a trial. Besides the
    result, memory grows with G * k1 * k2 and a block. Raises `UserError` for k < 1, NaN, or sizes that differ.
    Source: the affinity inference module of SAAI at test time.
    """
    q, g = (feats.double() for feats in as_feature_pair(query, gallery))
    _check(k1, k2)
    k1, k2 = min(k1, len(g)), min(k2, len(g))
    affinity = _gallery_affinity(g, k1, k2)
    distances = torch.empty(len(q), len(g), device=q.device)
    for rows in _row_blocks(len(q), len(g), q.device):
        similarity = q[rows] @ g.T
        kept = torch.nn.functional.normalize(_keep_largest(similarity, k1), dim=1)
        distances[rows] = -torch.sparse.mm(affinity, kept.T).T - similarity
    return in_kind(distances, query)


def _gallery_affinity(gallery: Tensor, k1: int, k2: int) -> Tensor:
    """Sparse (G, G): for each gallery picture, the kept similarities of its k2 nearest, added up, of unit length."""
    count = len(gallery)
    kept, nearest = [], []
    for rows in _row_blocks(count, count, gallery.device):
        similarity = gallery[rows] @ gallery.T
        kept.append(_keep_largest(similarity, k1).to_sparse())
        nearest.append(similarity.topk(k2, dim=1).indices)
    rows_kept = torch.cat(kept)
    first, *others = (rows_kept.index_select(0, neighbour) for neighbour in torch.cat(nearest).T)
    total = sum(others, first).coalesce()
    row, values = total.indices()[0], total.values()
    squares = values.new_zeros(count).index_add_(0, row, values.square())
    return torch.sparse_coo_tensor(total.indices(), values / squares.sqrt().clamp(min=1e-12)[row], (count, count))


def _keep_largest(similarity: Tensor, k: int) -> Tensor:
    """(B, G): the entries of each row that are at least its k-th largest, zero elsewhere."""
    return similarity.where(similarity >= similarity.topk(k, dim=1).values[:, -1:], 0)


def _row_blocks(rows: int, columns: int, device: torch.device) -> list[slice]:
    size = BLOCK.rows(columns, device)
    return [slice(start, start + size) for start in range(0, rows, size)]


def _check(k1: int, k2: int) -> None:
    if min(k1, k2) < 1:
        raise UserError(f"k1 and k2 must be at least 1, got k1={k1}, k2={k2}")


@dataclass(frozen=True)
class Affinity(Matcher):
    """Affinity inference; its authors' k1 and k2 for a benchmark stand in that benchmark's YAML file.

    It looks at the whole gallery of a trial, so say that you used it; SAAI's published figures do.
    """

    name: ClassVar[str] = "affinity"
    kinds: ClassVar[tuple[str, ...]] = (VectorFeatures.kind,)

    k1: int
    k2: int

    def __post_init__(self) -> None:
        _check(self.k1, self.k2)

    def distances(self, query: FeatureSet, gallery: FeatureSet) -> Tensor:
        return affinity_distances(query.feats.values, gallery.feats.values, self.k1, self.k2)
