"""The triplet loss of DSR's authors' older code: distances of the whole plus those of rebuilt columns."""

from dataclasses import dataclass

from torch import Tensor, arange
from torch.nn.functional import normalize

from pose2id.errors import UserError

from ...matching.reconstruction import KAPPA, Ridge, residual_norms
from ...networks.reid_network import Branch
from .base import Loss
from .margin_triplet import check_margin
from .mining import batch_hard, euclidean, mean_or_zero


@dataclass(frozen=True)
class ReconstructionTriplet(Loss):
    """Mean of max(0, margin + d_ap + D_ap - d_an - D_an) for a branch with columns (`stripes`).

    d: Euclidean distances of the features as they are, by which the hardest positive and negative are chosen; D: mean
    over the anchor's columns, of unit length, of |x - Y w|, w the ridge weights with `kappa`. Gradients flow through
    the weights too, as they do in that code. Pictures without a partner of either kind do not count.
    """

    margin: float = 0.45
    kappa: float = KAPPA

    def __post_init__(self) -> None:
        super().__post_init__()
        check_margin("reconstruction_triplet", self.margin)
        if not 0 < self.kappa < float("inf"):
            raise UserError(f"reconstruction_triplet: kappa must be above 0, got {self.kappa}")

    def __call__(self, branch: Branch, labels: Tensor) -> Tensor | None:
        if branch.features is None or branch.stripes is None:
            return None
        distances, columns = euclidean(branch.features.float()), normalize(branch.stripes.float(), dim=2)
        triplets = batch_hard(distances, labels)
        anchors = columns[triplets.complete]
        positive, negative = (
            whole + self._rebuilt(anchors, columns[others[triplets.complete]])
            for whole, others in zip(triplets.of(distances), (triplets.positive, triplets.negative), strict=True)
        )
        return mean_or_zero((self.margin + positive - negative).clamp(min=0))

    def _rebuilt(self, anchors: Tensor, others: Tensor) -> Tensor:
        """(T, N, d) columns and (T, M, d) dictionaries -> distances (T,)."""
        norms = residual_norms(anchors, others, arange(len(others), device=others.device), Ridge(self.kappa))
        return norms.mean(1).to(anchors.dtype)
