"""The batch-hard triplet loss with a soft margin (Hermans et al., arXiv 1703.07737)."""

from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import softplus

from ...networks.reid_network import Branch
from .base import Loss
from .mining import batch_hard, euclidean, mean_or_zero


@dataclass(frozen=True)
class Triplet(Loss):
    """`batch_hard_triplet_loss` of the features as they are."""

    def __call__(self, branch: Branch, labels: Tensor) -> Tensor | None:
        return None if branch.features is None else batch_hard_triplet_loss(branch.features.float(), labels)


def batch_hard_triplet_loss(features: Tensor, labels: Tensor) -> Tensor:
    """Soft-margin batch-hard triplet loss: (B, d), (B,) int64 -> scalar.

    The mean of softplus(distance to the farthest picture of the same label - distance to the nearest of another), with
    Euclidean distances of the features as they are. Pictures without a partner of either kind do not count; a batch
    of such pictures alone has loss 0.
    """
    distances = euclidean(features)
    positive, negative = batch_hard(distances, labels).of(distances)
    return mean_or_zero(softplus(positive - negative))
