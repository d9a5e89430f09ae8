"""Training in stages that the network names, such as RPP's: in some of them most of the network stays as it is."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from pose2id.errors import UserError
from pose2id.loop.state import Settings

from ...networks.reid_network import ReIDNetwork, Stage
from ..batches import Batches, Source
from ..data import TrainingSet
from .base import Scheme


class StagedSource(Source):
    """Batches as they are; before each step the network is put into the stage that the step belongs to.

    The step alone decides, so there is nothing to keep in checkpoints.
    """

    def __init__(self, network: ReIDNetwork, batches: Batches, steps: Sequence[int]) -> None:
        self.network, self.batches = network, batches
        self.ends = [sum(steps[: number + 1]) for number in range(len(steps))]
        self.trained = {name for name, parameter in network.named_parameters() if parameter.requires_grad}

    def stage_of(self, step: int) -> Stage:
        return self.network.stages[sum(step >= end for end in self.ends)]

    def before_step(self, step: int) -> None:
        self.batches.before_step(step)
        stage = self.stage_of(step)
        self.network.enter(stage)
        hold(self.network, self.trained, stage.learns)

    def __call__(self, generators: Sequence[torch.Generator]) -> dict[str, Tensor]:
        return self.batches(generators)

    def fixed_settings(self) -> Settings:
        return self.batches.fixed_settings()

    def state_dict(self) -> dict[str, object]:
        return self.batches.state_dict()

    def load_state_dict(self, state: dict[str, object]) -> None:
        self.batches.load_state_dict(state)


def hold(network: ReIDNetwork, trained: set[str], learns: tuple[str, ...]) -> None:
    """Of the parameters `trained`, let those learn that begin with one of `learns`, and keep all others.

    So are the statistics of a batch normalisation none of whose parameters learns; public code of RPP leaves them
    moving.
    """
    network.train()
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name in trained and name.startswith(learns))
    for name, module in network.named_modules():
        if isinstance(module, _BatchNorm) and not f"{name}.".startswith(learns):
            module.eval()


@dataclass(frozen=True)
class Staged(Scheme):
    """steps: of each stage of the network but the last, which takes the rest of the run.

    The defaults are RPP's 60 and 5 epochs on Market1501 in batches of 64.
    """

    steps: list[int] = field(default_factory=lambda: [12120, 1010])

    def __post_init__(self) -> None:
        if any(steps < 0 for steps in self.steps):
            raise UserError(f"staged: steps of a stage cannot be below 0, got {self.steps}")

    def num_labels(self, pictures: TrainingSet) -> int:
        return pictures.num_labels

    def start(self, network: ReIDNetwork, batches: Batches) -> Source:
        """`UserError` for a network without stages, or with another number of them."""
        stages = [stage.name for stage in network.stages]
        if not stages:
            raise UserError("staged: the network knows no stages; take the scheme supervised")
        if len(self.steps) != len(stages) - 1:
            raise UserError(
                f"staged: the network's stages are {', '.join(stages)}; give steps for all but the last, "
                f"{len(stages) - 1} numbers, got {self.steps}"
            )
        return StagedSource(network, batches, self.steps)
