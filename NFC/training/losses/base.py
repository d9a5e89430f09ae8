"""What every loss offers."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor

from pose2id.errors import UserError

from ...networks.reid_network import Branch


@dataclass(frozen=True)
class Loss(ABC):
    """A loss of one branch of a network on one batch, with its weight in the sum; a subclass adds its own numbers."""

    weight: float = 1.0

    def __post_init__(self) -> None:
        if self.weight <= 0:
            raise UserError(f"the weight of a loss must be above 0, got {self.weight}; leave the loss out instead")

    @abstractmethod
    def __call__(self, branch: Branch, labels: Tensor) -> Tensor | None:
        """A branch in float32 and labels (B,) int64 -> scalar; None where the branch lacks what the loss needs."""
