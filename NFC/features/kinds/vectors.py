"""Plain features: one vector a sample, compared by Euclidean distance."""

from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor

from pose2id.arrays import as_features, as_tensor, compute_dtype, unit_rows
from pose2id.errors import UserError

from ...neighbours import approximate_neighbours, nearest_neighbours
from .base import Features, Reduction, sum_in_order
from .layout import Layout


@dataclass(frozen=True)
class VectorFeatures(Features):
    """values (..., d) floating; half precision is summed in float32."""

    kind: ClassVar[str] = "vectors"
    matcher: ClassVar[str] = "euclidean"
    example: ClassVar[tuple[int, tuple[int, ...]]] = (12, ())

    values: Tensor

    @classmethod
    def unflatten(cls, flat: Tensor, *sizes: int) -> Self:
        return cls(flat)

    def flatten(self) -> Tensor:
        return self.values

    def as_vectors(self) -> Tensor:
        return self.values

    @property
    def layout(self) -> Layout:
        return Layout(self.kind)

    def check(self, name: str, axes: int = 1) -> Self:
        return type(self)(as_features(self.values, name, axes + 1))

    def normalized(self) -> Self:
        return type(self)(unit_rows(self.values))

    def fuse(self, generated: Self, eta: float, reduction: Reduction) -> Self:
        extra, dtype = generated.values, compute_dtype(self.values)
        if (len(extra), extra.shape[2]) != tuple(self.values.shape):
            shape = tuple(self.values.shape)
            raise UserError(f"generated must be (N, M, d) for feats {shape}, got {tuple(extra.shape)}")
        pooled = sum_in_order(extra.to(dtype).unbind(1))
        pooled = pooled if reduction == "sum" else pooled / extra.shape[1]
        return type(self)((self.values.to(dtype) + eta * pooled).to(self.values.dtype))

    def nearest(self, k: int, approximate: bool = False) -> Tensor:
        """By squared Euclidean distance; ties go to the lower index. approximate: by the optional faiss."""
        if approximate:
            return approximate_neighbours(self.values, k)
        return as_tensor(nearest_neighbours(self.values, k)[0], "neighbours")

    def sums(self, members: Tensor) -> Self:
        first, *others = members.T
        total = self.values[first].to(compute_dtype(self.values))
        for column in others:
            rows = (column >= 0).nonzero()[:, 0]
            total.index_add_(0, rows, self.values[column[rows]].to(total.dtype))
        return type(self)(total.to(self.values.dtype))

    def densities(self, identity: Tensor) -> Tensor:
        """Of the L2-normalised features; a centre is their plain mean. float32, or float64 for float64 features."""
        unit = unit_rows(self.values.to(compute_dtype(self.values)))
        counts = torch.bincount(identity)
        centres = unit.new_zeros(len(counts), unit.shape[1]).index_add_(0, identity, unit) / counts[:, None]
        return (unit - centres[identity]).square_().sum(1)
