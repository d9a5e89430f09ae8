"""Features made of parts, each visible or not: distance, fusion (Eq. 9), NFC (Algorithm 1) and ID2 for them.

Everything acts part by part and counts a part by its visibility. With one part that is always visible, each function
equals its plain namesake. docs/parts.md has the formulas.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import normalize

from pose2id.arrays import as_features, as_labels, as_tensor, compute_dtype
from pose2id.errors import UserError

BLOCK_ELEMENTS = 2**22  # entries of one block of distances


@dataclass(frozen=True)
class PartFeatures:
    """embeddings (..., P, d) floating; visibility (..., P), bool or a weight from 0 (unseen) to 1."""

    embeddings: Tensor
    visibility: Tensor

    def __post_init__(self) -> None:
        object.__setattr__(self, "embeddings", as_tensor(self.embeddings, "embeddings"))
        object.__setattr__(self, "visibility", as_tensor(self.visibility, "visibility"))
        if self.embeddings.ndim < 3 or self.embeddings.shape[:-1] != self.visibility.shape:
            raise UserError(
                "need embeddings (..., P, d) and visibility (..., P), "
                f"got {tuple(self.embeddings.shape)} and {tuple(self.visibility.shape)}"
            )

    def __len__(self) -> int:
        return len(self.embeddings)

    def __getitem__(self, rows: Any) -> "PartFeatures":
        """The features of some rows: a slice, a mask or indices of the leading axes."""
        return PartFeatures(self.embeddings[rows], self.visibility[rows])

    def normalized(self) -> "PartFeatures":
        """Each embedding L2-normalised on its own."""
        return PartFeatures(normalize(self.embeddings, dim=-1), self.visibility)

    def flatten(self) -> Tensor:
        """(..., P * d + P): the embeddings, then the visibility; how parts travel where a plain feature is expected."""
        return torch.cat([self.embeddings.flatten(-2), self.visibility.to(self.embeddings.dtype)], dim=-1)

    @classmethod
    def unflatten(cls, flat: Tensor, parts: int) -> "PartFeatures":
        """What `flatten` made (..., P * d + P), apart again; `UserError` when it cannot hold `parts` parts."""
        if parts < 1 or flat.shape[-1] % parts or flat.shape[-1] < 2 * parts:
            raise UserError(f"features of {flat.shape[-1]} numbers do not hold {parts} parts with visibility")
        return cls(flat[..., :-parts].unflatten(-1, (parts, -1)), flat[..., -parts:])

    def as_vectors(self) -> Tensor:
        """(..., P * d) for plots: each part weighs by the root of its share of the visibility.

        Between samples with the same visible parts, squared Euclidean distances are the mean over those parts.
        """
        seen = self.visibility.to(self.embeddings.dtype)
        share = seen / seen.sum(-1, keepdim=True).clamp(min=torch.finfo(seen.dtype).tiny)
        return (self.embeddings * share.sqrt()[..., None]).flatten(-2)


def part_distances(query: PartFeatures, gallery: PartFeatures) -> Tensor:
    """Visibility-weighted distance (Q, G) float32: mean Euclidean distance over parts, weighted by sqrt(v_q v_g).

    So with bool visibility it is the plain mean over the parts visible in both. A pair without one is put at M + 1,
    M the largest distance between parts visible in both. Embeddings are used as they are: normalise them before.
    Raises `UserError` for shapes that do not match, NaN, infinity or visibility out of range.
    Source: the test-time distance of BPBReID and KPR.
    """
    distances = query.embeddings.new_empty(len(query), len(gallery), dtype=torch.float32)
    largest = 0.0
    for rows, block, block_largest in _blocks(query, gallery):
        distances[rows] = block
        largest = max(largest, block_largest)
    return distances.masked_fill_(distances.isinf(), largest + 1)


def part_distance_blocks(query: PartFeatures, gallery: PartFeatures) -> Iterator[tuple[slice, Tensor]]:
    """`part_distances` as (rows, (B, G) float64) blocks of queries, infinite where no part is visible in both.

    It ranks the same: infinity is as far behind all others as M + 1. Only one block is in memory.
    """
    return ((rows, block) for rows, block, _ in _blocks(query, gallery))


@torch.no_grad()
def _blocks(query: PartFeatures, gallery: PartFeatures) -> Iterator[tuple[slice, Tensor, float]]:
    """Rows, weighted mean distances (B, G) and the largest distance between parts visible in both."""
    (a, a_seen), (b, b_seen) = _checked(query, "query"), _checked(gallery, "gallery")
    if a.shape[1:] != b.shape[1:]:
        raise UserError(f"query and gallery parts differ: {tuple(a.shape[1:])} and {tuple(b.shape[1:])}")
    a_root, b_root = a_seen.double().sqrt(), b_seen.double().sqrt()
    size = max(1, BLOCK_ELEMENTS // len(b))
    for start in range(0, len(a), size):
        rows = slice(start, start + size)
        total = a_root.new_zeros(len(a[rows]), len(b))
        weights, largest = torch.zeros_like(total), 0.0
        for part in range(a.shape[1]):
            distance = _euclidean(a[rows, part].double(), b[:, part].double())
            weight = a_root[rows, part, None] * b_root[:, part]
            largest = max(largest, float(distance.masked_fill(weight == 0, 0).max()))
            total.addcmul_(weight, distance)
            weights += weight
        yield rows, total.div_(weights).masked_fill_(weights == 0, torch.inf), largest


def _euclidean(a: Tensor, b: Tensor) -> Tensor:
    """(B, d), (G, d) float64 -> Euclidean distances (B, G)."""
    squares = torch.addmm(b.square().sum(1), a, b.T, alpha=-2).add_(a.square().sum(1, keepdim=True))
    return squares.clamp_(min=0).sqrt_()


def fuse_generated_parts(
    feats: PartFeatures, generated: PartFeatures, eta: float = 1.0, reduction: Literal["sum", "mean"] = "sum"
) -> PartFeatures:
    """Eq. 9 a part: v f + eta * sum of u g over the generated pictures (mean: divided by the sum of u).

    feats: embeddings (N, P, d), visibility v (N, P); generated: (N, M, P, d), u (N, M, P). A part is as visible as in
    the clearest picture that went into it, so a part hidden in the original comes from its generated pictures
    (unless eta is 0). Returns the dtype of `feats`, not normalised. Raises `UserError` as `fuse_generated`.
    Source: Pose2ID, arXiv 2503.00938, Eq. 9 before its normalisation.
    """
    original, seen = _checked(feats, "feats")
    extra, extra_seen = _checked(generated, "generated", ndim=4)
    if (len(extra), *extra.shape[2:]) != tuple(original.shape):
        raise UserError(f"generated must be (N, M, P, d) for feats {tuple(original.shape)}, got {tuple(extra.shape)}")
    if reduction not in ("sum", "mean"):
        raise UserError(f"reduction must be 'sum' or 'mean', got '{reduction}'")
    dtype = compute_dtype(original)
    weight = extra_seen.to(original.device, dtype)
    pooled = torch.einsum("nmp,nmpd->npd", weight, extra.to(original.device, dtype))
    if reduction == "mean":
        pooled /= weight.sum(1).clamp(min=torch.finfo(dtype).tiny)[..., None]
    fused = original.to(dtype) * seen.to(dtype)[..., None] + eta * pooled
    visibility = torch.maximum(seen.to(dtype), weight.amax(1)).to(seen.dtype) if eta else seen
    return PartFeatures(fused.to(original.dtype), visibility)


@torch.no_grad()
def NFC_parts(feats: PartFeatures, k1: int = 2, k2: int = 2) -> PartFeatures:
    """Algorithm 1 a part: v_i f_i + sum of v_j f_j over the mutual nearest neighbours j of the whole sample i.

    Neighbours are those of the visibility-weighted distance (`part_distances`), the same for all parts; samples that
    share no visible part are no neighbours; ties go to the lower index. A part is as visible as in the clearest
    sample that went into it. feats: (N, P, d), used as they are: normalise before and after. Never N x N in memory.
    Source: Pose2ID, arXiv 2503.00938, Algorithm 1.
    """
    original, seen = _checked(feats, "feats")
    if min(k1, k2) < 1:
        raise UserError(f"k1 and k2 must be at least 1, got k1={k1}, k2={k2}")
    neighbours = _nearest(feats, min(max(k1, k2), len(feats) - 1))
    sample = torch.arange(len(original), device=original.device)
    weighted = original.to(compute_dtype(original)) * seen.to(compute_dtype(original))[..., None]
    centralized, visibility = weighted.clone(), seen.clone()
    for candidate in neighbours[:, :k1].T:
        back = neighbours[candidate, :k2] == sample[:, None]
        mutual = back.any(1) & (candidate >= 0)
        centralized[mutual] += weighted[candidate[mutual]]
        visibility[mutual] = torch.maximum(visibility[mutual], seen[candidate[mutual]])
    return PartFeatures(centralized.to(original.dtype), visibility)


def _nearest(feats: PartFeatures, k: int) -> Tensor:
    """(N, k) int64: the k nearest others of each sample by (distance, index), -1 where none share a visible part."""
    indices = torch.full((len(feats), k), -1, device=feats.embeddings.device)
    if k == 0:
        return indices
    for rows, block in part_distance_blocks(feats, feats):
        block.diagonal(rows.start).fill_(torch.inf)
        kth = block.topk(k, largest=False).values[:, -1:]
        width = int((block <= kth).sum(1).max())  # all that tie with the k-th are in, so that the index decides
        nearest, cols = block.topk(width, largest=False)
        cols, order = cols.sort(dim=1)
        nearest, order = nearest.gather(1, order).sort(dim=1, stable=True)
        indices[rows] = cols.gather(1, order).masked_fill(nearest.isinf(), -1)[:, :k]
    return indices


def ID2_parts(feats: PartFeatures, pids: object) -> Tensor:
    """Identity density (N,): squared distance of each part to its identity's centre, mean over the visible parts.

    Parts are L2-normalised; a centre is the visibility-weighted mean of the identity's parts. NaN for a sample with
    nothing visible. feats: (N, P, d); pids: (N,) integers. Smaller is denser.
    Source: Pose2ID, arXiv 2503.00938, the ID2 metric.
    """
    original, seen = _checked(feats, "feats")
    labels = as_labels(pids, "pids", len(original), original.device)
    _, identity = labels.unique(return_inverse=True)
    dtype = compute_dtype(original)
    unit, weight = normalize(original.to(dtype), dim=-1), seen.to(dtype)
    sums = unit.new_zeros(int(identity.max()) + 1, *unit.shape[1:]).index_add_(0, identity, unit * weight[..., None])
    counts = weight.new_zeros(len(sums), weight.shape[1]).index_add_(0, identity, weight)
    centres = sums / counts.clamp(min=torch.finfo(dtype).tiny)[..., None]
    squares = (unit - centres[identity]).square().sum(-1)  # (N, P)
    return (squares * weight).sum(1) / weight.sum(1)


def _checked(feats: PartFeatures, name: str, ndim: int = 3) -> tuple[Tensor, Tensor]:
    """Embeddings and visibility; `UserError` for NaN, infinity, no rows, or visibility outside [0, 1]."""
    embeddings = as_features(feats.embeddings, f"{name} embeddings", ndim)
    seen = feats.visibility
    if not ((seen >= 0) & (seen <= 1)).all():
        raise UserError(f"visibility of {name} must lie in [0, 1]")
    return embeddings, seen
