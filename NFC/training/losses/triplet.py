"""The batch-hard triplet loss (Hermans et al., arXiv 1703.07737)."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import softplus

from ...networks.reid_network import Branch
from .base import Loss


@dataclass(frozen=True)
class Triplet(Loss):
    """`batch_hard_triplet_loss` of the features as they are, in float32."""

    def __call__(self, branch: Branch, labels: Tensor) -> Tensor:
        return batch_hard_triplet_loss(branch.features.float(), labels)


def batch_hard_triplet_loss(features: Tensor, labels: Tensor) -> Tensor:
    """Soft-margin batch-hard triplet loss: (B, d), (B,) int64 -> scalar.

    The mean of softplus(distance to the farthest picture of the same label - distance to the nearest of another), with
    Euclidean distances of the features as they are. Pictures without a partner of either kind do not count; a batch
    of such pictures alone has loss 0.
    """
    distances = torch.cdist(features, features, compute_mode="donot_use_mm_for_euclid_dist")
    same = labels[:, None] == labels
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    positive = distances.masked_fill(~same | itself, float("-inf")).amax(1)
    negative = distances.masked_fill(same, float("inf")).amin(1)
    counts = positive.isfinite() & negative.isfinite()
    return softplus(positive[counts] - negative[counts]).sum() / counts.sum().clamp_min(1)
