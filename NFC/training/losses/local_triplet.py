"""The triplet loss of stripes along their shortest path (AlignedReID, AlignedReID++)."""

from dataclasses import dataclass

from torch import Tensor

from pose2id.errors import UserError

from ...features.kinds.alignment import paired_distances, stripe_distances
from ...networks.reid_network import Branch
from .base import Loss
from .margin_triplet import check_margin
from .mining import batch_hard, euclidean, mean_or_zero

# What says which pictures are hard: of features (B, d) and stripes (B, H, d), distances (B, B).
MINING = {
    "global": lambda branch: euclidean(branch.features.detach().float()),
    "local": lambda branch: stripe_distances(*[branch.stripes.detach().float()] * 2),
}


@dataclass(frozen=True)
class LocalTriplet(Loss):
    """Mean of max(0, margin + D to the positive - D to the negative), D of `NFC.features.kinds.alignment`.

    mining: "global" takes the farthest positive and the nearest negative by the features, so that it trains the same
    triplets as the loss `margin_triplet` beside it; "local" by D itself, an option of AlignedReID's re-production.
    Features and stripes are taken as the branch gives them. Pictures without a partner of either kind do not count.
    """

    margin: float = 0.3
    mining: str = "global"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_margin("local_triplet", self.margin)
        if self.mining not in MINING:
            raise UserError(f"local_triplet: mining must be one of {', '.join(MINING)}, got {self.mining}")

    def __call__(self, branch: Branch, labels: Tensor) -> Tensor | None:
        if branch.features is None or branch.stripes is None:
            return None
        triplets, stripes = batch_hard(MINING[self.mining](branch), labels), branch.stripes.float()
        anchors = stripes[triplets.complete]
        positive, negative = (
            paired_distances(anchors, stripes[others[triplets.complete]])
            for others in (triplets.positive, triplets.negative)
        )
        return mean_or_zero((self.margin + positive - negative).clamp(min=0))
