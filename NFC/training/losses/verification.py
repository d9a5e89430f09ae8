"""Cross-entropy of the verdicts on pairs (Ahmed et al., CVPR 2015)."""

from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import cross_entropy

from ...networks.reid_network import Branch
from .base import Loss
from .pair_label import same_person


@dataclass(frozen=True)
class Verification(Loss):
    """Two classes: the pictures of a pair show different people, or the same one."""

    def __call__(self, branch: Branch, labels: Tensor) -> Tensor | None:
        if branch.pairs is None or branch.pairs.scores is None:
            return None
        return cross_entropy(branch.pairs.scores.float(), same_person(branch.pairs, labels).long())
