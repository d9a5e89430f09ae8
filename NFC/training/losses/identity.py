"""Cross-entropy over the identities."""

from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import cross_entropy

from pose2id.errors import UserError

from ...networks.reid_network import Branch
from .base import Loss


@dataclass(frozen=True)
class Identity(Loss):
    """Cross-entropy of the class scores; `label_smoothing` in [0, 1) (Szegedy et al., arXiv 1512.00567)."""

    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.label_smoothing < 1:
            raise UserError(f"identity: label_smoothing must be in [0, 1), got {self.label_smoothing}")

    def __call__(self, branch: Branch, labels: Tensor) -> Tensor | None:
        if branch.scores is None:
            return None
        return cross_entropy(branch.scores, labels, label_smoothing=self.label_smoothing)
