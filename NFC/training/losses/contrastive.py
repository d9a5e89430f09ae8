"""The supervised contrastive loss (Khosla et al., arXiv 2004.11362)."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from pose2id.errors import UserError

from ...networks.reid_network import Branch
from .base import Loss


@dataclass(frozen=True)
class Contrastive(Loss):
    """`contrastive_loss` of the features with `temperature`, above 0."""

    temperature: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.temperature <= 0:
            raise UserError(f"contrastive: temperature must be above 0, got {self.temperature}")

    def __call__(self, branch: Branch, labels: Tensor) -> Tensor | None:
        return None if branch.features is None else contrastive_loss(branch.features, labels, self.temperature)


def contrastive_loss(features: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Supervised contrastive loss: (B, d), (B,) int64 -> scalar.

    Cross-entropy over cosine similarities / `temperature`: every picture must find those of its own label among the
    rest of the batch. Averaged over the partners of each picture, then over the pictures that have one.
    """
    features = normalize(features, dim=1)
    logits = features @ features.T / temperature
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    log_share = logits.masked_fill(itself, float("-inf")).log_softmax(1).masked_fill(itself, 0)
    partners = (labels[:, None] == labels) & ~itself
    counts = partners.sum(1)
    return -((log_share * partners).sum(1) / counts.clamp_min(1)).sum() / (counts > 0).sum().clamp_min(1)
