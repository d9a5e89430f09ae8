"""SCPNet's loss (Fan et al., ACCV 2018): a group of channels approaches the stripe it stands for."""

from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import mse_loss

from ...networks.reid_network import Branch
from .base import Loss


@dataclass(frozen=True)
class SpatialToChannel(Loss):
    """Squared difference of features and target, a mean over pictures and channels.

    The author's code weighs it by 10. A sum over channels would be as many times stronger as there are channels.
    """

    def __call__(self, branch: Branch, labels: Tensor) -> Tensor | None:
        if branch.features is None or branch.target is None:
            return None
        return mse_loss(branch.features, branch.target.detach())
