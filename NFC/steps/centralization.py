"""Feature centralization: move each feature towards the centre of its identity. Pose2ID, arXiv 2503.00938."""

from typing import Literal

import torch

from pose2id.arrays import Array, as_features, as_tensor, compute_dtype, in_kind
from pose2id.errors import UserError

from ..neighbours.approximate import approximate_neighbours
from ..neighbours.search import nearest_neighbours


def NFC(feats: Array, k1: int = 2, k2: int = 2, approximate: bool = False) -> Array:
    """Neighbour feature centralization: add to each feature its mutual nearest neighbours (Algorithm 1).

    Sample j counts for i if j is among the k1 nearest of i and i among the k2 nearest of j:
    f_i <- f_i + sum of the counted f_j, all originals. Distances are squared Euclidean, a sample is not its own
    neighbour, ties go to the lower index; k1 and k2 beyond N - 1 mean all others. One sample returns itself.

    feats: (N, d) floating, NumPy or torch, any device. Used as they are: normalise before and after in evaluation.
    approximate: find neighbours with faiss, if that is installed: faster for millions, and nearly the same.
    Returns (N, d) of the same kind, dtype and device; half precision is summed in float32.
    Raises `UserError` (a ValueError) for k < 1, NaN, infinity, a wrong number of axes or no samples.
    Source: Pose2ID, arXiv 2503.00938, Algorithm 1.
    """
    original = as_features(feats, "feats")
    if min(k1, k2) < 1:
        raise UserError(f"k1 and k2 must be at least 1, got k1={k1}, k2={k2}")
    k = max(k1, k2)
    neighbours = approximate_neighbours(original, k) if approximate else nearest_neighbours(original, k)[0]
    sample = torch.arange(len(original), device=original.device)
    centralized = original.to(compute_dtype(original), copy=True)
    for candidate in neighbours[:, :k1].T:
        mutual = (candidate >= 0) & (neighbours[candidate, :k2] == sample[:, None]).any(1)
        centralized.index_add_(0, sample[mutual], original[candidate[mutual]].to(centralized.dtype))
    return in_kind(centralized.to(original.dtype), feats)


def fuse_generated(
    feats: Array, generated: Array, eta: float = 1.0, reduction: Literal["sum", "mean"] = "sum"
) -> Array:
    """Add the features of each sample's generated pictures: f + eta * sum (or mean) over them.

    feats: (N, d) floating; generated: (N, M, d), the M generated pictures of each sample.
    Returns (N, d) of the kind, dtype and device of `feats`, not normalised; half precision is summed in float32.
    Raises `UserError` (a ValueError) for shapes that do not match, NaN, infinity or an unknown reduction.
    Source: Pose2ID, arXiv 2503.00938, Eq. 9 before its normalisation.
    """
    original = as_features(feats, "feats")
    extra = as_features(as_tensor(generated, "generated").to(original.device), "generated", ndim=3)
    if (len(extra), extra.shape[2]) != tuple(original.shape):
        raise UserError(f"generated must be (N, M, d) for feats {tuple(original.shape)}, got {tuple(extra.shape)}")
    if reduction not in ("sum", "mean"):
        raise UserError(f"reduction must be 'sum' or 'mean', got '{reduction}'")
    dtype = compute_dtype(original)
    pooled = extra.sum(1, dtype=dtype) if reduction == "sum" else extra.mean(1, dtype=dtype)
    return in_kind((original.to(dtype) + eta * pooled).to(original.dtype), feats)
