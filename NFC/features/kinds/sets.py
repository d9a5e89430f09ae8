"""Features that are soft sets: how strongly each of C patterns is present, compared by their Jaccard distance (MoS).

J(a, b) = sum of minima / sum of maxima is from MoS ("matching on sets"). Its closed form by the L1 distance, and
everything that centralization needs of this kind (means instead of sums, centres), are ours.
"""

from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor

from pose2id.arrays import compute_dtype
from pose2id.errors import UserError

from .base import Reduction
from .joined import JoinedFeatures
from .layout import Layout

IN_CACHE = 2**18  # numbers


@dataclass(frozen=True)
class SetFeatures(JoinedFeatures):
    """values (..., C) floating, at least 0; half precision is computed in float32.

    The total of a row says how much of a person is visible, and J changes when one of two rows is scaled. So rows are
    never brought to unit length, and what is added up elsewhere is averaged here: fused and centralized sets keep the
    scale of the others. These means are our choice; MoS does neither.
    """

    kind: ClassVar[str] = "sets"
    matcher: ClassVar[str] = "jaccard"
    example: ClassVar[tuple[int, tuple[int, ...]]] = (12, (12,))

    values: Tensor
    axes = (1,)

    @classmethod
    def unflatten(cls, flat: Tensor, *sizes: int) -> Self:
        """`UserError` unless the rows are of the C of `sizes`."""
        if sizes != flat.shape[-1:]:
            raise UserError(f"features of {flat.shape[-1]} numbers are no sets of {' and '.join(map(str, sizes))}")
        return cls(flat)

    def as_vectors(self) -> Tensor:
        return self.values

    @property
    def layout(self) -> Layout:
        return Layout(self.kind, tuple(self.values.shape[-1:]))

    def check(self, name: str, axes: int = 1) -> Self:
        """`UserError` also for numbers below 0, which mean nothing in a set; they are not cut off silently."""
        super().check(name, axes)
        if (least := float(self.values.detach().min())) < 0:
            raise UserError(
                f"{name} are sets and cannot hold numbers below 0 such as {least:g}; take them after a ReLU"
            )
        return self

    def normalized(self) -> Self:
        """Itself: the scale of a set means something."""
        return self

    def distance_block(self, gallery: Self) -> Tensor:
        return jaccard_distances(self.values, gallery.values)

    def fuse(self, generated: Self, eta: float, reduction: Reduction) -> Self:
        """The mean of f with weight 1 and each of the M generated pictures with weight eta (mean: eta / M)."""
        if eta < 0:
            raise UserError(f"eta must be at least 0 for sets, of which none can be taken away, got {eta}")
        total = super(SetFeatures, self._precise()).fuse(generated, eta, reduction).values
        weights = eta if reduction == "mean" else eta * generated.values.shape[1]
        return type(self)((total / (1 + weights)).to(self.values.dtype))

    def sums(self, members: Tensor) -> Self:
        """The mean of each row's members."""
        total = super(SetFeatures, self._precise()).sums(members).values
        return type(self)((total / (members >= 0).sum(1, keepdim=True)).to(self.values.dtype))

    def densities(self, identity: Tensor) -> Tensor:
        """Squared Jaccard distance to the plain mean of the identity, in [0, 1]: small where they share their patterns.

        Like the distance itself, it does not change when all features are scaled; a squared Euclidean one would.
        """
        values = self._precise().values
        counts = torch.bincount(identity)
        centres = values.new_zeros(len(counts), values.shape[1]).index_add_(0, identity, values) / counts[:, None]
        own = centres[identity]
        return jaccard_of_sums(values.sum(1) + own.sum(1), (values - own).abs().sum(1)).square()

    def _precise(self) -> Self:
        return type(self)(self.values.to(compute_dtype(self.values)))


@torch.no_grad()
def jaccard_distances(query: Tensor, gallery: Tensor) -> Tensor:
    """1 - J of (Q, C) and (G, C), both at least 0 -> (Q, G) float32, or float64 for float64 features.

    J = (S - L1) / (S + L1), S being the sum of both rows: since min + max = a + b and max - min = |a - b|. Two empty
    sets have nothing in common: 1 (our choice). No Q x G x C array is made. 1 - J is a metric.
    """
    dtype = torch.promote_types(compute_dtype(query), compute_dtype(gallery))
    query, gallery = query.to(dtype), gallery.to(dtype)
    total = query.sum(1, keepdim=True) + gallery.sum(1)
    return jaccard_of_sums(total, l1_distances(query, gallery))


def l1_distances(a: Tensor, b: Tensor) -> Tensor:
    """Sums of absolute differences (N, M) of (N, C) and (M, C) of one dtype, float32 or float64.

    On a CPU, row by row against what of `b` stays in its cache: about three times as fast as `torch.cdist`, and its
    sums lose less. Two processors need not agree in the last bits.
    """
    if a.device.type != "cpu":
        with torch.autocast(a.device.type, enabled=False):
            return torch.cdist(a, b, p=1)
    result = a.new_empty(len(a), len(b))
    size = max(1, IN_CACHE // b.shape[1])
    for start in range(0, len(b), size):
        part = b[start : start + size]
        difference = torch.empty_like(part)
        for own, row in zip(result, a, strict=True):
            torch.sum(torch.sub(part, row, out=difference).abs_(), 1, out=own[start : start + size])
    return result


def jaccard_of_sums(total: Tensor, difference: Tensor) -> Tensor:
    """1 - (S - L1) / (S + L1) = 2 L1 / (S + L1); 1 where S is 0."""
    distance = 2 * difference / (total + difference).clamp(min=torch.finfo(total.dtype).tiny)
    return distance.clamp(max=1).masked_fill(total == 0, 1)
