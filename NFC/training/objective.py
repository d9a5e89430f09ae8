"""What is minimised: the losses of all branches of a network on one batch."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import torch
from torch import Tensor, nn

from pose2id.errors import UserError
from pose2id.loop.state import Settings, named_settings

from ..networks.base import NO_CAMERA
from ..networks.reid_network import Branch, Inputs, ReIDNetwork
from .losses import Loss


class ReIDObjective(nn.Module):
    """A network with its losses: their weighted sum over the branches, each by its weight, and the network's own."""

    def __init__(self, network: ReIDNetwork, losses: Mapping[str, Loss]) -> None:
        super().__init__()
        self.network, self.losses = network, losses

    def fixed_settings(self) -> Settings:
        """What may not change when a run is resumed."""
        values = {f"{name}.{key}": value for name, loss in self.losses.items() for key, value in asdict(loss).items()}
        return named_settings("losses", values)

    def forward(
        self, batch: dict[str, Tensor], generators: Sequence[torch.Generator]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """A batch of a scheme -> (loss, losses of the first branch and the network's own); nothing here is random.

        batch: pictures, labels, camids, generated, see `NFC.training.data.Batches`. Generated pictures have no camera.
        """
        camids = batch["camids"].masked_fill(batch["generated"], NO_CAMERA)
        inputs = Inputs(batch["pictures"], camids)
        branches, own = self.network.outputs(inputs, batch["labels"])
        with torch.autocast(camids.device.type, enabled=False):
            measured = [self._measure(branch, batch["labels"]) for branch in branches]
        totals = [
            branch.weight * sum(self.losses[name].weight * value for name, value in losses.items())
            for branch, losses in zip(branches, measured, strict=True)
        ]
        loss = totals[0] + sum(totals[1:]) + sum(own.values())
        return loss, {name: value.detach() for name, value in (measured[0] | own).items()}

    def _measure(self, branch: Branch, labels: Tensor) -> dict[str, Tensor]:
        """The losses of a branch, in float32."""
        scores = None if branch.scores is None else branch.scores.float()
        exact = Branch(branch.features.float(), scores, branch.weight)
        values = {name: loss(exact, labels) for name, loss in self.losses.items()}
        found = {name: value for name, value in values.items() if value is not None}
        if not found:
            raise UserError(f"network '{self.network.name}' has a branch that no loss can train; name another loss")
        return found
