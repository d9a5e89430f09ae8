"""The batch-hard triplet loss with a hard margin (Hermans et al., arXiv 1703.07737)."""

from dataclasses import dataclass

from torch import Tensor

from pose2id.errors import UserError

from ...networks.reid_network import Branch
from .base import Loss
from .mining import batch_hard, euclidean, mean_or_zero


@dataclass(frozen=True)
class MarginTriplet(Loss):
    """Mean of max(0, margin + farthest positive - nearest negative), Euclidean distances of the features as they are.

    Pictures without a partner of either kind do not count.
    """

    margin: float = 0.3

    def __post_init__(self) -> None:
        super().__post_init__()
        check_margin("margin_triplet", self.margin)

    def __call__(self, branch: Branch, labels: Tensor) -> Tensor | None:
        if branch.features is None:
            return None
        distances = euclidean(branch.features.float())
        positive, negative = batch_hard(distances, labels).of(distances)
        return mean_or_zero((self.margin + positive - negative).clamp(min=0))


def check_margin(name: str, margin: float) -> None:
    """`UserError` for a margin below 0, or no number."""
    if not 0 <= margin < float("inf"):
        raise UserError(f"{name}: margin must be a number of at least 0, got {margin}")
