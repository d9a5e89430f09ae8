"""Cross-entropy over the identities."""

from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import cross_entropy

from pose2id.errors import UserError

from ...networks.reid_network import Branch
from .base import Loss


@dataclass(frozen=True)
class Identity(Loss):
    """Cross-entropy of the class scores; `label_smoothing` in [0, 1) (Szegedy et al., arXiv 1512.00567).

    smoothing_over: "all" spreads e over the K classes, e / K each, as torch does; "others" over those that are not the
    label's, e / (K - 1) each, as the code of fastreid does.
    """

    label_smoothing: float = 0.0
    smoothing_over: str = "all"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.label_smoothing < 1:
            raise UserError(f"identity: label_smoothing must be in [0, 1), got {self.label_smoothing}")
        if self.smoothing_over not in SMOOTHED:
            choices = ", ".join(SMOOTHED)
            raise UserError(f"identity: smoothing_over must be one of {choices}, got {self.smoothing_over}")

    def __call__(self, branch: Branch, labels: Tensor) -> Tensor | None:
        if branch.scores is None:
            return None
        return SMOOTHED[self.smoothing_over](branch.scores, labels, self.label_smoothing)


def over_all(scores: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    """(B, K), (B,) -> scalar."""
    return cross_entropy(scores, labels, label_smoothing=smoothing)


def over_others(scores: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    """As `over_all`; of a single class there are no others."""
    logs = scores.log_softmax(1)
    own = logs.gather(1, labels[:, None])[:, 0]
    others = (logs.sum(1) - own) / max(1, scores.shape[1] - 1)
    return -((1 - smoothing) * own + smoothing * others).mean()


SMOOTHED = {"all": over_all, "others": over_others}
