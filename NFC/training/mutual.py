"""Mutual learning (Zhang et al., CVPR 2018): two networks of different starts that also learn from each other."""

from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from torch import Tensor
from torch.nn.functional import kl_div, mse_loss

from pose2id.errors import UserError

from ..networks.base import Extractor, Preprocessing
from ..networks.reid_network import Branch, Inputs, ReIDNetwork
from .losses.mining import euclidean

PAIR = "first.", "second."  # before the names of their tensors


class Mutual(ReIDNetwork):
    """Two networks of the same sizes; the first one is what is validated and exported.

    Each has its own losses, and two more that draw it to what the other says of the batch, where no gradient flows: the
    Kullback-Leibler divergence of the class probabilities, and the mean over B x B of the squared difference between
    the matrices of feature distances, both of the first branch and with weight 1. So it is in the re-production of
    AlignedReID, which offers it; there the two networks are trained side by side by optimizers of their own.
    """

    def __init__(self, first: ReIDNetwork, second: ReIDNetwork) -> None:
        super().__init__(first.sizes)
        self.first, self.second = first, second
        self.name, self.layout, self.feature_dim = first.name, first.layout, first.feature_dim
        self.learns_cameras = first.learns_cameras

    def outputs(self, inputs: Inputs, labels: Tensor) -> tuple[list[Branch], dict[str, Tensor]]:
        """The branches of both, and the losses of both with what they learn from each other."""
        (ours, own), (theirs, others) = (network.outputs(inputs, labels) for network in (self.first, self.second))
        mutual = mutual_losses(ours[0], theirs[0])
        return [*ours, *theirs], mutual | {name: value + others[name] for name, value in own.items()}

    def branches(self, inputs: Inputs) -> list[Branch]:
        return [*self.first.branches(inputs), *self.second.branches(inputs)]

    def forward(self, *given: Tensor | None, **named: Tensor | None) -> object:
        return self.first(*given, **named)

    def extractor(self, preprocessing: Preprocessing | None = None) -> Extractor:
        return self.first.extractor(preprocessing)

    def preprocessing(self) -> Preprocessing:
        return self.first.preprocessing()

    def use_infrared(self, camids: Collection[int]) -> None:
        for network in (self.first, self.second):
            network.use_infrared(camids)

    def file_stem(self) -> str:
        return self.first.file_stem()

    def exported(self) -> Mapping[str, Tensor]:
        """Those of the first, in its names; so are the prefixes of `heads` and `of_one_data_set`."""
        return self.first.exported()

    def to_official(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        return self.first.to_official(tensors)

    def from_official(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        return self.first.from_official(tensors)

    def heads(self) -> tuple[str, ...]:
        return self.first.heads()

    def of_one_data_set(self) -> tuple[str, ...]:
        return self.first.of_one_data_set()

    def unused_at_test(self) -> tuple[str, ...]:
        return (*(PAIR[0] + name for name in self.first.unused_at_test()), PAIR[1])

    def unused_in_training(self) -> tuple[str, ...]:
        return tuple(prefix + name for prefix in PAIR for name in self.first.unused_in_training())

    def start_from(self, tensors: Mapping[str, Tensor], path: str | Path) -> "Mutual":
        for network in (self.first, self.second):
            network.start_from(tensors, path)
        return self


def mutual_losses(first: Branch, second: Branch) -> dict[str, Tensor]:
    """What two networks lack of each other's view of a batch, both ways: of class scores and of feature distances.

    features (B, d) and scores (B, classes) -> scalars "mutual_scores" and "mutual_distances", in float32. `UserError`
    where the branches have neither.
    """
    pair, losses = (first, second), {}
    if all(branch.scores is not None for branch in pair):
        losses["mutual_scores"] = _both_ways(_divergence, *(branch.scores.float().log_softmax(1) for branch in pair))
    if all(branch.features is not None for branch in pair):
        losses["mutual_distances"] = _both_ways(mse_loss, *(euclidean(branch.features.float()) for branch in pair))
    if not losses:
        raise UserError("networks without features and class scores cannot learn from each other: leave out mutual")
    return losses


def _both_ways(loss: Callable[[Tensor, Tensor], Tensor], first: Tensor, second: Tensor) -> Tensor:
    """Each towards the other as it is."""
    return loss(first, second.detach()) + loss(second, first.detach())


def _divergence(own: Tensor, other: Tensor) -> Tensor:
    """Kullback-Leibler divergence of logarithms (B, classes), per picture."""
    return kl_div(own, other, reduction="batchmean", log_target=True)
