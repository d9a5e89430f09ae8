"""A vector of the whole picture beside local columns of windows anywhere in it, which have no common places.

Columns serve matchers such as `reconstruction`, for a query and its first candidates.
"""

from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor
from torch.nn.functional import pad

from pose2id.arrays import compute_dtype, unit_rows
from pose2id.errors import UserError

from .joined import JoinedFeatures
from .layout import Layout
from .vectors import VectorFeatures


@dataclass(frozen=True)
class ColumnFeatures(JoinedFeatures):
    """whole (..., D); columns (..., M, d); weights (..., M), how much each column counts when it is a query's.

    Neighbours and distances are those of the whole vectors: columns of all pairs would take hours.
    """

    kind: ClassVar[str] = "columns"
    matcher: ClassVar[str] = "euclidean"
    example: ClassVar[tuple[int, tuple[int, ...]]] = (13, (2, 4))
    axes: ClassVar[tuple[int, ...]] = (1, 2, 1)

    whole: Tensor
    columns: Tensor
    weights: Tensor

    def __post_init__(self) -> None:
        leading = {tuple(t.shape[: t.ndim - axes]) for t, axes in zip(self._tensors, self.axes, strict=True)}
        if len(leading) > 1 or self.columns.shape[:-1] != self.weights.shape:
            shapes = ", ".join(str(tuple(tensor.shape)) for tensor in self._tensors)
            raise UserError(f"need whole (..., D), columns (..., M, d) and weights (..., M), got {shapes}")

    @classmethod
    def unflatten(cls, flat: Tensor, *sizes: int) -> Self:
        """What `flatten` made, (..., D + M * d + M), apart again; sizes: M and d."""
        count, dim = sizes
        whole = flat.shape[-1] - count * dim - count
        if min(count, dim, whole) < 1:
            raise UserError(f"features of {flat.shape[-1]} numbers do not hold {count} columns of {dim} and a whole")
        first, columns, weights = flat.split([whole, count * dim, count], dim=-1)
        return cls(first, columns.unflatten(-1, (count, dim)), weights)

    def as_vectors(self) -> Tensor:
        return self.whole

    @property
    def layout(self) -> Layout:
        return Layout(self.kind, tuple(self.columns.shape[-2:]))

    def check(self, name: str, axes: int = 1) -> Self:
        super().check(name, axes)
        if (self.weights < 0).any():
            raise UserError(f"{name}: weights of columns must not be below 0")
        return self

    def normalized(self) -> Self:
        """The whole and each column of unit length, the weights with a sum of 1."""
        total = self.weights.to(compute_dtype(self.weights)).sum(-1, keepdim=True)
        weights = (self.weights / total.clamp(min=torch.finfo(total.dtype).tiny)).to(self.weights.dtype)
        return type(self)(unit_rows(self.whole), unit_rows(self.columns), weights)

    def nearest(self, k: int, approximate: bool = False) -> Tensor:
        """By squared Euclidean distance of the whole vectors; ties go to the lower index."""
        return VectorFeatures(self.whole).nearest(k, approximate)

    def distance_block(self, gallery: Self) -> Tensor:
        return torch.cdist(self.whole.double(), gallery.whole.double(), compute_mode="donot_use_mm_for_euclid_dist")

    def padded(self, count: int) -> Self:
        """The same with `count` columns, of which the further ones are zero and weigh nothing.

        They rebuild nothing and count nowhere, so that pictures with fewer columns can be in one set with others.
        """
        lacking = count - self.columns.shape[-2]
        if lacking < 0:
            raise UserError(f"features have {self.columns.shape[-2]} columns, more than {count}")
        return type(self)(self.whole, pad(self.columns, (0, 0, 0, lacking)), pad(self.weights, (0, lacking)))
