"""The losses of ReID training, on the features and class scores of one branch."""

import torch
import torch.nn.functional as F
from torch import Tensor


def batch_hard_triplet_loss(features: Tensor, labels: Tensor) -> Tensor:
    """Soft-margin batch-hard triplet loss (Hermans et al., arXiv 1703.07737): (B, d), (B,) int64 -> scalar.

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
    return F.softplus(positive[counts] - negative[counts]).sum() / counts.sum().clamp_min(1)


def contrastive_loss(features: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Supervised contrastive loss (Khosla et al., arXiv 2004.11362): (B, d), (B,) int64 -> scalar.

    Cross-entropy over cosine similarities / `temperature`: every picture must find those of its own label among the
    rest of the batch. Averaged over the partners of each picture, then over the pictures that have one.
    """
    features = F.normalize(features, dim=1)
    logits = features @ features.T / temperature
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    log_share = logits.masked_fill(itself, float("-inf")).log_softmax(1).masked_fill(itself, 0)
    partners = (labels[:, None] == labels) & ~itself
    counts = partners.sum(1)
    return -((log_share * partners).sum(1) / counts.clamp_min(1)).sum() / (counts > 0).sum().clamp_min(1)
