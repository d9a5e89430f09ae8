"""What kinds have in common whose members are added number by number, such as stripes of one place in the picture."""

from abc import abstractmethod
from collections.abc import Iterator
from typing import ClassVar, Self

import torch
from torch import Tensor

from pose2id.arrays import as_features, compute_dtype
from pose2id.devices import AtOnce
from pose2id.errors import UserError

from ...neighbours.distances import nearest_columns
from .base import Features, Reduction, sum_in_order

BLOCK = AtOnce(cpu=2**22, gpu=2**26)  # distances


class JoinedFeatures(Features):
    """Tensors (..., *shape) side by side; sums are taken of each, and how members are compared is a subclass's own.

    That a sum of stripes, columns or maps is one of the same places, however the people in the pictures stand, is our
    reading: the papers do not centralize.
    """

    axes: ClassVar[tuple[int, ...]]  # how many axes a member has in each tensor

    @abstractmethod
    def distance_block(self, gallery: Self) -> Tensor:
        """(B, G) distances of all members to those of `gallery`; the order of them is what counts."""

    def flatten(self) -> Tensor:
        return torch.cat([tensor.flatten(-axes) for tensor, axes in zip(self._tensors, self.axes, strict=True)], -1)

    def check(self, name: str, axes: int = 1) -> Self:
        for tensor, own in zip(self._tensors, self.axes, strict=True):
            as_features(tensor, name, axes + own)
        return self

    def fuse(self, generated: Self, eta: float, reduction: Reduction) -> Self:
        tensors = zip(self._tensors, generated._tensors, strict=True)
        return type(self)(*(_fused(own, extra, eta, reduction) for own, extra in tensors))

    @torch.no_grad()
    def nearest(self, k: int, approximate: bool = False) -> Tensor:
        """By `distance_block`, exactly; ties go to the lower index."""
        if approximate:
            raise UserError(f"approximate search is for plain features; {self.kind} are searched exactly")
        k = min(k, len(self) - 1)
        indices = torch.empty((len(self), k), dtype=torch.int64, device=self.device)
        for rows, block in distance_blocks(self, self) if k else ():
            block.diagonal(rows.start).fill_(torch.inf)
            indices[rows] = nearest_columns(block, k)[1]
        return indices

    def sums(self, members: Tensor) -> Self:
        return type(self)(*(_summed(tensor, members) for tensor in self._tensors))

    def densities(self, identity: Tensor) -> Tensor:
        """Squared distance to the mean of the identity, both normalised members in one row; summed over its tensors."""
        rows = self.normalized().flatten()
        rows = rows.to(compute_dtype(rows))
        counts = torch.bincount(identity)
        centres = rows.new_zeros(len(counts), rows.shape[1]).index_add_(0, identity, rows) / counts[:, None]
        return (rows - centres[identity]).square_().sum(1)


def distance_blocks(query: JoinedFeatures, gallery: JoinedFeatures) -> Iterator[tuple[slice, Tensor]]:
    """(rows, (B, G) distances) of parts of the queries, so that only a block is in memory."""
    size = BLOCK.rows(len(gallery), query.device)
    for start in range(0, len(query), size):
        rows = slice(start, start + size)
        yield rows, query[rows].distance_block(gallery)


def _fused(own: Tensor, extra: Tensor, eta: float, reduction: Reduction) -> Tensor:
    """(N, *shape) and (N, M, *shape) -> (N, *shape)."""
    if (len(extra), *extra.shape[2:]) != tuple(own.shape):
        shapes = tuple(own.shape), tuple(extra.shape)
        raise UserError(f"generated must be (N, M, ...) for feats (N, ...); got {shapes[1]} for {shapes[0]}")
    dtype = compute_dtype(own)
    pooled = sum_in_order(extra.to(own.device, dtype).unbind(1))
    pooled = pooled if reduction == "sum" else pooled / extra.shape[1]
    return (own.to(dtype) + eta * pooled).to(own.dtype)


def _summed(tensor: Tensor, members: Tensor) -> Tensor:
    """(N, *shape) and (N, K) of `Features.sums` -> (N, *shape)."""
    first, *others = members.T
    total = tensor[first].to(compute_dtype(tensor))
    for column in others:
        rows = (column >= 0).nonzero()[:, 0]
        total.index_add_(0, rows, tensor[column[rows]].to(total.dtype))
    return total.to(tensor.dtype)
