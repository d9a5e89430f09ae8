"""Features made of parts, each visible or not. docs/parts.md has the formulas.

Everything acts part by part and counts a part by its visibility. With one part that is always visible, this kind
equals that of plain vectors.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor

from pose2id.arrays import as_features, as_tensor, compute_dtype, unit_rows
from pose2id.devices import AtOnce
from pose2id.errors import UserError

from ...neighbours.distances import distance_matrix, nearest_columns
from .base import Features, Reduction, sum_in_order
from .layout import Layout

BLOCK = AtOnce(cpu=2**22, gpu=2**26)  # distances


@dataclass(frozen=True)
class PartFeatures(Features):
    """embeddings (..., P, d) floating; visibility (..., P), bool or a weight from 0 (unseen) to 1."""

    kind: ClassVar[str] = "parts"
    matcher: ClassVar[str] = "parts"
    example: ClassVar[tuple[int, tuple[int, ...]]] = (15, (3,))

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

    @classmethod
    def unflatten(cls, flat: Tensor, *sizes: int) -> Self:
        """What `flatten` made (..., P * d + P), apart again; `UserError` when it cannot hold the P of `sizes`."""
        (parts,) = sizes
        if parts < 1 or flat.shape[-1] % parts or flat.shape[-1] < 2 * parts:
            raise UserError(f"features of {flat.shape[-1]} numbers do not hold {parts} parts with visibility")
        return cls(flat[..., :-parts].unflatten(-1, (parts, -1)), flat[..., -parts:])

    def flatten(self) -> Tensor:
        """(..., P * d + P): the embeddings, then the visibility."""
        return torch.cat([self.embeddings.flatten(-2), self.visibility.to(self.embeddings.dtype)], dim=-1)

    @property
    def layout(self) -> Layout:
        return Layout(self.kind, (self.visibility.shape[-1],))

    def check(self, name: str, axes: int = 1) -> Self:
        as_features(self.embeddings, f"{name} embeddings", axes + 2)
        if not ((self.visibility >= 0) & (self.visibility <= 1)).all():
            raise UserError(f"visibility of {name} must lie in [0, 1]")
        return self

    def normalized(self) -> Self:
        """Each embedding L2-normalised on its own."""
        return type(self)(unit_rows(self.embeddings), self.visibility)

    def as_vectors(self) -> Tensor:
        """(..., P * d) for plots: each part weighs by the root of its share of the visibility.

        Between samples with the same visible parts, squared Euclidean distances are the mean over those parts.
        """
        seen = self.visibility.to(self.embeddings.dtype)
        share = seen / seen.sum(-1, keepdim=True).clamp(min=torch.finfo(seen.dtype).tiny)
        return (self.embeddings * share.sqrt()[..., None]).flatten(-2)

    def fuse(self, generated: Self, eta: float, reduction: Reduction) -> Self:
        """v f + eta * sum of u g over the generated pictures (mean: divided by the sum of u), part by part.

        A part is as visible as in the clearest picture that went into it, so a part hidden in the original comes from
        its generated pictures (unless eta is 0). The paper does not say how; this is our choice.
        """
        original, seen, extra = self.embeddings, self.visibility, generated.embeddings
        if (len(extra), *extra.shape[2:]) != tuple(original.shape):
            shape = tuple(original.shape)
            raise UserError(f"generated must be (N, M, P, d) for feats {shape}, got {tuple(extra.shape)}")
        dtype = compute_dtype(original)
        weight = generated.visibility.to(original.device, dtype)
        pictures = extra.to(original.device).unbind(1)
        pooled = sum_in_order(u[..., None] * g.to(dtype) for u, g in zip(weight.unbind(1), pictures, strict=True))
        if reduction == "mean":
            pooled = pooled / sum_in_order(weight.unbind(1)).clamp(min=torch.finfo(dtype).tiny)[..., None]
        fused = original.to(dtype) * seen.to(dtype)[..., None] + eta * pooled
        visibility = torch.maximum(seen.to(dtype), weight.amax(1)).to(seen.dtype) if eta else seen
        return type(self)(fused.to(original.dtype), visibility)

    @torch.no_grad()
    def nearest(self, k: int, approximate: bool = False) -> Tensor:
        """By the visibility-weighted distance of whole samples, then by index; -1 where no visible part is shared."""
        if approximate:
            raise UserError("approximate search is for plain features; part features are searched exactly")
        k = min(k, len(self) - 1)
        indices = torch.full((len(self), k), -1, device=self.device)
        if k == 0:
            return indices
        for rows, block in part_distance_blocks(self, self):
            block.diagonal(rows.start).fill_(torch.inf)
            nearest, cols = nearest_columns(block, k)
            indices[rows] = cols.masked_fill(nearest.isinf(), -1)
        return indices

    def sums(self, members: Tensor) -> Self:
        """A part is as visible as in the clearest sample that went into it."""
        first, *others = members.T
        dtype = compute_dtype(self.embeddings)
        weighted = self.embeddings.to(dtype) * self.visibility.to(dtype)[..., None]
        total, visibility = weighted[first], self.visibility[first]
        for column in others:
            rows = column >= 0
            total[rows] += weighted[column[rows]]
            visibility[rows] = torch.maximum(visibility[rows], self.visibility[column[rows]])
        return type(self)(total.to(self.embeddings.dtype), visibility)

    def densities(self, identity: Tensor) -> Tensor:
        """Squared distance of each part to its identity's centre, mean over the visible parts; NaN without any.

        Parts are L2-normalised; a centre is the visibility-weighted mean of the identity's parts.
        """
        dtype = compute_dtype(self.embeddings)
        unit, weight = unit_rows(self.embeddings.to(dtype)), self.visibility.to(dtype)
        sums = unit.new_zeros(int(identity.max()) + 1, *unit.shape[1:])
        sums.index_add_(0, identity, unit * weight[..., None])
        counts = weight.new_zeros(len(sums), weight.shape[1]).index_add_(0, identity, weight)
        centres = sums / counts.clamp(min=torch.finfo(dtype).tiny)[..., None]
        squares = (unit - centres[identity]).square().sum(-1)  # (N, P)
        return (squares * weight).sum(1) / weight.sum(1)


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
    require_same_parts(query, gallery)
    size = BLOCK.rows(len(gallery), query.embeddings.device)
    for start in range(0, len(query), size):
        rows = slice(start, start + size)
        yield rows, *distance_block(query[rows], gallery)


def require_same_parts(query: PartFeatures, gallery: PartFeatures) -> None:
    """`UserError` for unusable numbers, or parts that differ in number or size."""
    shapes = [tuple(feats.check(name).embeddings.shape[1:]) for feats, name in ((query, "query"), (gallery, "gallery"))]
    if shapes[0] != shapes[1]:
        raise UserError(f"query and gallery parts differ: {shapes[0]} and {shapes[1]}")


def distance_block(query: PartFeatures, gallery: PartFeatures) -> tuple[Tensor, float]:
    """Weighted mean distances (B, G) float64 and the largest distance between parts visible in both."""
    a, b = query.embeddings, gallery.embeddings
    a_root, b_root = query.visibility.double().sqrt(), gallery.visibility.double().sqrt()
    total = a_root.new_zeros(len(a), len(b))
    weights, largest = torch.zeros_like(total), 0.0
    for part in range(a.shape[1]):
        distance = distance_matrix(a[:, part], b[:, part])
        weight = a_root[:, part, None] * b_root[:, part]
        largest = max(largest, float(distance.masked_fill(weight == 0, 0).max()))
        total.addcmul_(weight, distance)
        weights += weight
    return total.div_(weights).masked_fill_(weights == 0, torch.inf), largest
