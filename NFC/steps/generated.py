"""Fusion with generated pictures: Eq. 9 of Pose2ID, arXiv 2503.00938."""

from dataclasses import dataclass
from typing import ClassVar

from pose2id.arrays import Array
from pose2id.errors import UserError
from pose2id.settings.ranges import Range, check_ranges

from ..features.feature_set import FeatureSet
from ..features.kinds import Features, Reduction, as_kind, like
from .base import OneSetStep

REDUCTIONS = ("sum", "mean")
BLOCK = 4096  # samples whose generated features are normalised and fused at a time


def fuse_generated(
    feats: Array | Features, generated: Array | Features, eta: float = 1.0, reduction: Reduction = "sum"
) -> Array | Features:
    """Add the features of each sample's generated pictures: f + eta * sum (or mean) over them.

    feats: (N, d) floating; generated: (N, M, d), the M generated pictures of each sample; or both of another kind of
    `NFC.features.kinds`, which says what its sum is.
    Returns (N, d) of the kind, dtype and device of `feats`, not normalised; half precision is summed in float32.
    Raises `UserError` (a ValueError) for shapes that do not match, NaN, infinity or an unknown reduction.
    Source: Pose2ID, arXiv 2503.00938, Eq. 9 before its normalisation.
    """
    original = as_kind(feats, "feats")
    extra = as_kind(generated, "generated", axes=2).to(original.device)
    if reduction not in REDUCTIONS:
        raise UserError(f"reduction must be 'sum' or 'mean', got '{reduction}'")
    return like(original.fuse(extra, eta, reduction), feats)


@dataclass(frozen=True)
class GeneratedPictures(OneSetStep):
    """Eq. 9 for the sets that `on` names; generated features are normalised before they are fused."""

    name: ClassVar[str] = "generated"

    eta: float = 1.0
    reduction: str = "sum"  # or mean

    def __post_init__(self) -> None:
        if self.reduction not in REDUCTIONS:
            raise UserError(f"reduction must be sum or mean, got '{self.reduction}'")
        check_ranges(self, {"eta": Range(-1000, 1000)})

    @property
    def label(self) -> str:
        return f"ipg {self.on.value}"

    def refine(self, features: FeatureSet, split: str) -> Features:
        if features.generated is None:
            raise UserError(f"ipg={self.on.value} needs generated features of the {split}; there are none")
        blocks = zip(features.feats.split(BLOCK), features.generated.split(BLOCK), strict=True)
        fused = [fuse_generated(f, g.normalized(), self.eta, self.reduction) for f, g in blocks]
        return type(features.feats).cat(fused)
