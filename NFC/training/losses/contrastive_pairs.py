"""The contrastive loss of pairs (Hadsell et al., CVPR 2006), as Siamese networks are trained with it."""

from dataclasses import dataclass

from torch import Tensor

from ...networks.reid_network import Branch
from .base import Loss
from .margin_triplet import check_margin
from .pair_label import same_person


@dataclass(frozen=True)
class ContrastivePairs(Loss):
    """Mean over the pairs of d^2 for the same person and max(0, margin - d)^2 for two, d the distance of a pair.

    The margin 1 fits features of unit length; ours, the papers' are not known.
    """

    margin: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_margin("contrastive_pairs", self.margin)

    def __call__(self, branch: Branch, labels: Tensor) -> Tensor | None:
        if branch.pairs is None or branch.pairs.distances is None:
            return None
        distances, same = branch.pairs.distances.float(), same_person(branch.pairs, labels)
        return distances.where(same, (self.margin - distances).clamp(min=0)).square().mean()
