"""The triplet loss of all triplets of a batch (Suh et al., ECCV 2018)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ...networks.reid_network import Branch
from .base import Loss
from .margin_triplet import check_margin


@dataclass(frozen=True)
class AllTriplets(Loss):
    """`all_triplets_loss` of the features as they are; its authors' are of unit length."""

    margin: float = 0.2

    def __post_init__(self) -> None:
        super().__post_init__()
        check_margin("all_triplets", self.margin)

    def __call__(self, branch: Branch, labels: Tensor) -> Tensor | None:
        if branch.features is None:
            return None
        return all_triplets_loss(branch.features.float(), labels, self.margin)


def all_triplets_loss(features: Tensor, labels: Tensor, margin: float = 0.2) -> Tensor:
    """(B, d), (B,) int64 -> scalar: mean of d(i, j)^2 - d(i, k)^2 + margin over the triplets where it is above 0.

    i and j are two pictures of one label and k is of another; d is Euclidean. Without such triplets it is 0.
    """
    products = features @ features.T
    squares = products.diagonal()
    distances = (squares[:, None] + squares - 2 * products).clamp(min=0)
    same = labels[:, None] == labels
    partner = same & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    valid = partner[:, :, None] & ~same[:, None, :]
    terms = (distances[:, :, None] - distances[:, None, :] + margin).relu() * valid
    return terms.sum() / (terms > 0).sum().clamp(min=1)
