"""The triplet loss of MoS: a smooth Jaccard distance of non-negative features, hardest triplets of the batch."""

from dataclasses import dataclass

import torch
from torch import Tensor

from pose2id.devices import AtOnce
from pose2id.errors import UserError

from ...features.kinds import SetFeatures
from ...networks.reid_network import Branch
from .base import Loss
from .margin_triplet import check_margin
from .mining import batch_hard, mean_or_zero

BLOCK = AtOnce(cpu=2**20, gpu=2**26)  # differences
REDUCTIONS = ("mean", "sum")


@dataclass(frozen=True)
class JaccardTriplet(Loss):
    """`jaccard_triplet_loss` of the features, which must be at least 0, such as means of what leaves a ReLU.

    tau is in units of the features' scale: it is divided by the mean of the batch's positive numbers, for the smooth
    minimum is only sharp where tau times the usual difference lies well above 1. The scale, the values of tau and
    delta, the mean in place of the printed sum and the hardest triplets are our choices; the paper's are unknown.
    """

    tau: float = 10.0
    delta: float = 0.3
    reduction: str = "mean"  # or sum

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.tau < float("inf"):
            raise UserError(f"jaccard_triplet: tau must be above 0 and finite, got {self.tau}")
        check_margin("jaccard_triplet", self.delta)
        if self.reduction not in REDUCTIONS:
            raise UserError(f"jaccard_triplet: reduction must be mean or sum, got '{self.reduction}'")

    def __call__(self, branch: Branch, labels: Tensor) -> Tensor | None:
        if branch.features is None:
            return None
        features = SetFeatures(branch.features.float()).check("features").values
        positive = features.detach()[features.detach() > 0]
        scale = float(positive.mean()) if len(positive) else 1.0
        return jaccard_triplet_loss(features, labels, self.tau / scale, self.delta, self.reduction)


def jaccard_triplet_loss(
    features: Tensor, labels: Tensor, tau: float, delta: float = 0.3, reduction: str = "mean"
) -> Tensor:
    """Mean or sum of max(0, delta + D(hardest positive) - D(hardest negative)): (B, C), (B,) int64 -> scalar.

    features: at least 0. D = 1 - `soft_jaccard`. Triplets are chosen without gradients, block by block, then measured,
    so memory is B * C.
    Pictures without a partner of either kind do not count; a batch of such pictures alone has loss 0.
    """
    with torch.no_grad():
        rows = features.split(BLOCK.rows(features.numel(), features.device))
        distances = torch.cat([1 - soft_jaccard(part[:, None], features, tau) for part in rows])
    triplets = batch_hard(distances, labels)
    anchors = triplets.complete.nonzero()[:, 0]
    pull, push = (
        1 - soft_jaccard(features[anchors], features[other[anchors]], tau)
        for other in (triplets.positive, triplets.negative)
    )
    terms = (delta + pull - push).clamp(min=0)
    return terms.sum() if reduction == "sum" else mean_or_zero(terms)


def soft_jaccard(a: Tensor, b: Tensor, tau: float) -> Tensor:
    """Smooth J of (..., C) and (..., C) that broadcast, at least 0 -> (...): sum of softmin / sum of softmax.

    With weights exp(-+ tau x) both are (a + b) / 2 -+ |a - b| / 2 tanh(tau |a - b| / 2), so J = (S - T) / (S + T), S
    being the sum of both and T that of |a - b| tanh(tau |a - b| / 2): nothing overflows, and J tends to the true one
    as tau grows. 0 for two empty sets. The closed form is ours, its value that of the paper's weighted sums.
    """
    difference = (a - b).abs()
    total = a.sum(-1) + b.sum(-1)
    apart = (difference * torch.tanh(tau / 2 * difference)).sum(-1)
    return (total - apart) / (total + apart).clamp(min=torch.finfo(total.dtype).tiny)
