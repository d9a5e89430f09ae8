"""What is minimised: the losses of all branches of a network on one batch."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace

import torch
from torch import Tensor, nn

from pose2id.errors import UserError
from pose2id.loop.state import Settings, named_settings

from ..networks.base import NO_CAMERA
from ..networks.reid_network import Branch, Inputs, Pairs, ReIDNetwork
from .losses import Loss

OPTIONAL = ("pairs", "parsing", "heat_maps", "points")  # of `Inputs`


class ReIDObjective(nn.Module):
    """A network with its losses: their weighted sum over the branches, each by its weight, and the network's own."""

    def __init__(self, network: ReIDNetwork, losses: Mapping[str, Loss]) -> None:
        super().__init__()
        self.network, self.losses = network, losses

    def fixed_settings(self) -> Settings:
        """What may not change when a run is resumed."""
        values = {f"{name}.{key}": value for name, loss in self.losses.items() for key, value in asdict(loss).items()}
        return named_settings("losses", values | {"names": ", ".join(self.losses)})  # so that none is added

    def forward(
        self, batch: dict[str, Tensor], generators: Sequence[torch.Generator]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """A batch of a scheme -> (loss, each loss of the first branch with it, the network's own); nothing is random.

        batch: pictures, labels, camids, generated, see `NFC.training.batches.Batches`, and of `OPTIONAL` what there is.
        Generated pictures have no camera.
        """
        camids = batch["camids"].masked_fill(batch["generated"], NO_CAMERA)
        others = {name: batch[name] for name in OPTIONAL if name in batch}
        inputs = Inputs(batch["pictures"], camids, **others)
        branches, own = self.network.outputs(inputs, batch["labels"])
        with torch.autocast(camids.device.type, enabled=False):
            measured = [self._measure(branch, batch["labels"]) for branch in branches]
        totals = [
            branch.weight * sum(self.losses[name].weight * value for name, value in losses.items())
            for branch, losses in zip(branches, measured, strict=True)
        ]
        loss = totals[0] + sum(totals[1:]) + sum(own.values())
        logged = {name: value for losses in reversed(measured) for name, value in losses.items()} | own
        return loss, {name: value.detach() for name, value in logged.items()}

    def _measure(self, branch: Branch, labels: Tensor) -> dict[str, Tensor]:
        """The losses of a branch, in float32."""
        exact = in_float32(branch)
        values = {name: loss(exact, labels) for name, loss in self.losses.items()}
        found = {name: value for name, value in values.items() if value is not None}
        if not found:
            raise UserError(f"network '{self.network.name}' has a branch that no loss can train; name another loss")
        return found


def in_float32(outputs: Branch | Pairs) -> Branch | Pairs:
    """The same with all floating tensors in float32."""
    values = {field.name: getattr(outputs, field.name) for field in fields(outputs)}
    exact = {
        name: in_float32(value) if isinstance(value, Pairs) else value.float()
        for name, value in values.items()
        if isinstance(value, Pairs) or (isinstance(value, Tensor) and value.is_floating_point())
    }
    return replace(outputs, **exact)
