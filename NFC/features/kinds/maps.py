"""The maps of pictures, for networks that judge pairs; `NFC.matching.pair_network` has the network compare them."""

from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor

from pose2id.arrays import as_tensor, unit_rows
from pose2id.errors import UserError

from .base import Reduction
from .joined import JoinedFeatures
from .layout import Layout
from .vectors import VectorFeatures


@dataclass(frozen=True)
class MapFeatures(JoinedFeatures):
    """maps (..., C, H, W) floating, as the network gave them: it needs their scale, so `normalized` leaves them alone.

    Its own distance is the Euclidean one of the maps' mean over the columns, all rows in one vector of unit length: a
    cheap look at where from top to bottom there is what.

    Sums are taken number by number and divided by their weights, which keeps the scale; where vectors are normalised
    after a sum, the two are the same. Of people in different poses, or boxes that are cut differently, such a mean is a
    blurred map, in which a network that compares places may find less than in one picture's. That maps are fused and
    centralized at all is ours: no paper does it.
    """

    kind: ClassVar[str] = "maps"
    matcher: ClassVar[str] = "euclidean"
    example: ClassVar[tuple[int, tuple[int, ...]]] = (18, (2, 3, 3))
    axes = (3,)

    maps: Tensor

    def __post_init__(self) -> None:
        object.__setattr__(self, "maps", as_tensor(self.maps, "maps"))
        if self.maps.ndim < 4:
            raise UserError(f"need maps (..., C, H, W) with samples before, got {tuple(self.maps.shape)}")

    @classmethod
    def unflatten(cls, flat: Tensor, *sizes: int) -> Self:
        """(..., C * H * W) and C, H, W; `UserError` where these are other numbers."""
        if len(sizes) != 3 or min(sizes) < 1 or flat.shape[-1] != torch.Size(sizes).numel():
            raise UserError(
                f"features of {flat.shape[-1]} numbers do not hold maps of {sizes} (channels, rows, columns)"
            )
        return cls(flat.unflatten(-1, sizes))

    @property
    def layout(self) -> Layout:
        return Layout(self.kind, tuple(self.maps.shape[-3:]))

    def normalized(self) -> Self:
        return self

    def as_vectors(self) -> Tensor:
        """(..., C * H): means over the columns, of unit length as a whole."""
        return unit_rows(self.maps.mean(-1).flatten(-2))

    def fuse(self, generated: Self, eta: float, reduction: Reduction) -> Self:
        """The mean of the map, which counts 1, and the generated ones, which count eta (mean: eta all together)."""
        fused = super().fuse(generated, eta, reduction).maps
        return type(self)(fused / (1 + abs(eta) * (generated.maps.shape[1] if reduction == "sum" else 1)))

    def sums(self, members: Tensor) -> Self:
        """Means of the listed members."""
        counts = (members >= 0).sum(1)[:, None, None, None]
        return type(self)(super().sums(members).maps / counts)

    def distance_block(self, gallery: Self) -> Tensor:
        vectors = self.as_vectors().double(), gallery.as_vectors().double()
        return torch.cdist(*vectors, compute_mode="donot_use_mm_for_euclid_dist")

    def nearest(self, k: int, approximate: bool = False) -> Tensor:
        """By the distance of `as_vectors`, with the search of vectors."""
        return VectorFeatures(self.as_vectors()).nearest(k, approximate)

    def densities(self, identity: Tensor) -> Tensor:
        """Those of `as_vectors`."""
        return VectorFeatures(self.as_vectors()).densities(identity)
