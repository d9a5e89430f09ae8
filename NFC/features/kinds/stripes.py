"""A feature of the whole picture and stripes of it from top to bottom, as AlignedReID and AlignedReID++ give them."""

from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor

from pose2id.arrays import as_tensor, unit_rows
from pose2id.errors import UserError

from ...neighbours.distances import distance_matrix
from .alignment import check_stripes, stripe_distances
from .joined import JoinedFeatures
from .layout import Layout


@dataclass(frozen=True)
class StripeFeatures(JoinedFeatures):
    """whole (..., D) floating; stripes (..., H, d) floating, from top to bottom. Each is normalised by itself."""

    kind: ClassVar[str] = "stripes"
    matcher: ClassVar[str] = "dmli"
    example: ClassVar[tuple[int, tuple[int, ...]]] = (25, (3, 6))
    axes = (1, 2)

    whole: Tensor
    stripes: Tensor

    def __post_init__(self) -> None:
        object.__setattr__(self, "whole", as_tensor(self.whole, "whole"))
        object.__setattr__(self, "stripes", as_tensor(self.stripes, "stripes"))
        if self.whole.shape[:-1] != self.stripes.shape[:-2]:
            shapes = f"{tuple(self.whole.shape)} and {tuple(self.stripes.shape)}"
            raise UserError(f"need whole (..., D) and stripes (..., H, d), got {shapes}")

    @classmethod
    def unflatten(cls, flat: Tensor, *sizes: int) -> Self:
        """What `flatten` made (..., D + H * d), apart again; sizes: H and d."""
        count, dim = sizes
        whole = flat.shape[-1] - count * dim
        if min(count, dim, whole) < 1:
            raise UserError(f"features of {flat.shape[-1]} numbers do not hold {count} stripes of {dim} and a whole")
        return cls(flat[..., :whole], flat[..., whole:].unflatten(-1, (count, dim)))

    @property
    def layout(self) -> Layout:
        return Layout(self.kind, tuple(self.stripes.shape[-2:]))

    def normalized(self) -> Self:
        """The whole and each stripe L2-normalised on its own; a stripe of zeros stays so."""
        return type(self)(unit_rows(self.whole), unit_rows(self.stripes))

    def as_vectors(self) -> Tensor:
        """(..., D + H * d): its squared Euclidean distances are those of the whole and the mean of the stripes'."""
        return torch.cat([self.whole, self.stripes.flatten(-2) / self.stripes.shape[-2] ** 0.5], dim=-1)

    def distance_block(self, gallery: Self) -> Tensor:
        """Squared distance of the wholes and DMLI of the stripes, weights 1: the authors' `global_local`."""
        return whole_distances(self, gallery).add_(aligned_distances(self, gallery))


def require_same_stripes(query: StripeFeatures, gallery: StripeFeatures, aligned: bool = True) -> None:
    """`UserError` for unusable numbers, or sizes that cannot be compared."""
    wholes = [feats.check(name).whole.shape[-1] for feats, name in ((query, "query"), (gallery, "gallery"))]
    if wholes[0] != wholes[1]:
        raise UserError(f"query and gallery features differ in size: {wholes[0]} and {wholes[1]}")
    check_stripes(query.stripes, gallery.stripes, aligned)


def whole_distances(query: StripeFeatures, gallery: StripeFeatures, squared: bool = True) -> Tensor:
    """(Q, G) float64 Euclidean distances of the wholes: squared in AlignedReID++, not so in AlignedReID."""
    distances = distance_matrix(query.whole, gallery.whole)
    return distances.square_() if squared else distances


def aligned_distances(query: StripeFeatures, gallery: StripeFeatures, aligned: bool = True) -> Tensor:
    """(Q, G) DMLI distances of the stripes, or the sum of stripe by stripe."""
    return stripe_distances(query.stripes, gallery.stripes, aligned)
