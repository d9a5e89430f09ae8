"""SIM, the similarity inference metric: a test-time distance for queries and gallery of two modalities.

The formulas are those of the method; where its authors' program (github Anonymous-pre-release/SIM) differs from them
or says more, their program is followed, and it is said here. Our own: the linear memory, exact ties, edge cases.
"""

import logging
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

import torch
from torch import Tensor

from pose2id.arrays import Array, as_feature_pair, as_tensor, compute_dtype, in_kind

from ..features.feature_set import FeatureSet
from ..features.kinds import VectorFeatures
from .base import Matcher
from .inferred import InferredDistances, Numbers

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SimilarityInference(Numbers, Matcher):
    """SIM; its authors' numbers for a benchmark stand in that benchmark's YAML file.

    mode: graph ranks by the first step alone, mutual does the second one on plain distances, both is the method.
    reading: of "the K shortest paths". local: by way of the m gallery pictures nearest to g, g itself first, as in the
    authors' program; literal: of the whole gallery, as in the paper; in_place: as local, but a gallery picture sees the
    smoothed distances of those before it, as the program does, so that the order of the gallery counts.
    weights: of the sets of the second step, exp as in the program, or binary as in the paper.
    It looks at the whole gallery of a trial, so say that you used it; its authors' figures do.
    """

    name: ClassVar[str] = "similarity_inference"
    kinds: ClassVar[tuple[str, ...]] = (VectorFeatures.kind,)

    @property
    def label(self) -> str:
        return "SIM" if self.mode == "both" else f"SIM {self.mode}"

    def distances(self, query: FeatureSet, gallery: FeatureSet) -> InferredDistances:
        """Labels are looked at for a warning alone."""
        if gallery.pids is not None and self.mode != "mutual":
            self._warn_of_few(gallery.pids)
        return InferredDistances.between(query.feats.values, gallery.feats.values, self)

    def _warn_of_few(self, pids: Tensor) -> None:
        counts = pids.unique(return_counts=True)[1]
        if few := int((counts < self.k).sum()):
            _warn_once(
                f"{self.name}: {few} of {len(counts)} people have fewer than k={self.k} pictures in the gallery, so "
                "others are averaged with them; smaller k, m, kq and kg may serve better"
            )


@cache
def _warn_once(line: str) -> None:
    """Trials and rows of a table say the same."""
    logger.warning("%s", line)


@torch.no_grad()
def similarity_inference_distances(
    query: Array,
    gallery: Array,
    lambda_value: float = 0.01,
    k: int = 9,
    m: int = 20,
    kq: int = 12,
    kg: int = 20,
    alpha: float = 0.3,
    mode: str = "both",
    reading: str = "local",
    weights: str = "exp",
) -> Array:
    """SIM between a query set and a gallery: smoothed distances, mixed with how much neighbourhoods overlap.

    1. d_S[q, g] = mean of the k smallest D[q, t] + lambda_value * D[t, g], D being Euclidean, over the m gallery
       pictures t nearest to g; see `SimilarityInference` for `reading`.
    2. N(q): the kq + 1 gallery pictures with the smallest d_S; R(g): the expanded k-reciprocal set of g inside the
       gallery (kg). Each member c weighs exp(-squared distance / the largest of its row), a set sums to 1.
       d_M = 1 - sum of minima / sum of maxima. binary: every member weighs 1, so d_M is 1 - |N and R| / |N or R|.
    3. alpha * d_S^2 / (the largest of its row) + (1 - alpha) * d_M.

    query: (Q, d), gallery: (G, d) floating, L2-normalised, NumPy or torch, any device; the k-reciprocal sets alone are
    worked out on the CPU, with SciPy. k, m, kq and kg beyond G mean all of it. A query's row depends on no other query.
    Returns (Q, G) of the same kind, float32, or float64 for float64 features. `InferredDistances` gives it in blocks.
    Raises `UserError` (a ValueError) for numbers out of range, NaN, infinity, empty sets or sizes that differ.
    Source: the seed's equations 1-8 of SIM; exp(...), the squares, the row's largest and the + 1 are of the program.
    """
    numbers = SimilarityInference(mode, reading, weights, lambda_value, k, m, kq, kg, alpha)
    a, b = as_feature_pair(query, gallery)
    blocks = InferredDistances.between(a, b, numbers)
    result = torch.empty(blocks.shape, dtype=compute_dtype(a), device=a.device)
    for rows in blocks.parts():
        result[rows] = blocks[rows].to(result.dtype)
    return in_kind(as_tensor(result, "distances"), query)
