"""What is minimised: the losses of all branches of a TransReID on one batch."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pose2id.errors import UserError

from ..networks.transreid import TransReID
from .losses import batch_hard_triplet_loss, contrastive_loss


@dataclass
class LossConfig:
    """Weights of the three losses of a branch; a weight of 0 leaves that loss out."""

    identity_weight: float = 1.0
    label_smoothing: float = 0.0
    triplet_weight: float = 1.0
    contrastive_weight: float = 0.0
    temperature: float = 0.1

    def __post_init__(self) -> None:
        weights = (self.identity_weight, self.triplet_weight, self.contrastive_weight)
        if min(weights) < 0 or max(weights) == 0:
            raise UserError(f"the weights of the losses must not be negative, nor all 0; got {weights}")
        if not 0 <= self.label_smoothing < 1 or self.temperature <= 0:
            given = f"{self.label_smoothing} and {self.temperature}"
            raise UserError(f"label_smoothing must be in [0, 1) and temperature above 0, got {given}")


class ReIDObjective(nn.Module):
    """The network with its losses: the global branch has weight 1/2, the jigsaw branches share the other half."""

    def __init__(self, network: TransReID, config: LossConfig) -> None:
        super().__init__()
        self.network, self.config = network, config
        self.weights = {name: getattr(config, f"{name}_weight") for name in ("identity", "triplet", "contrastive")}

    def forward(
        self, batch: dict[str, Tensor], generators: Sequence[torch.Generator]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """A batch of `NFC.training.data.Batches` -> (loss, losses of the global branch); nothing here is random."""
        features, labels = self._features(batch)
        with torch.autocast(labels.device.type, enabled=False):
            branches = [self._losses(number, feature.float(), labels) for number, feature in enumerate(features)]
        totals = [sum(self.weights[name] * value for name, value in losses.items()) for losses in branches]
        loss = totals[0] if len(totals) == 1 else totals[0] / 2 + sum(totals[1:]) / (2 * len(totals[1:]))
        return loss, {name: value.detach() for name, value in branches[0].items()}

    def _features(self, batch: dict[str, Tensor]) -> tuple[list[Tensor], Tensor]:
        """Features (B, dim) of each branch and their labels (B,); generated pictures come last, without a camera."""
        images, labels, camids = batch["images"], batch["labels"], batch["camids"]
        if self.network.base.sie_embed is None:
            return self.network.branch_features(images), labels
        taken, drawn = (~batch["generated"]).nonzero()[:, 0], batch["generated"].nonzero()[:, 0]
        kinds = [(taken, camids[taken]), (drawn, None)]
        parts = [self.network.branch_features(images[rows], cameras) for rows, cameras in kinds if len(rows)]
        return [torch.cat(branch) for branch in zip(*parts, strict=True)], labels[torch.cat([taken, drawn])]

    def _losses(self, branch: int, features: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """The losses in use, in float32, on the features (B, dim) of a branch (0 is the global one)."""
        losses = {}
        if self.weights["identity"]:
            suffix = f"_{branch}" if branch else ""
            neck, classifier = (getattr(self.network, f"{name}{suffix}") for name in ("bottleneck", "classifier"))
            scores = classifier(neck(features))
            losses["identity"] = F.cross_entropy(scores, labels, label_smoothing=self.config.label_smoothing)
        if self.weights["triplet"]:
            losses["triplet"] = batch_hard_triplet_loss(features, labels)
        if self.weights["contrastive"]:
            losses["contrastive"] = contrastive_loss(features, labels, self.config.temperature)
        return losses
