"""Which pictures of a batch an anchor is compared with."""

from typing import NamedTuple

import torch
from torch import Tensor


class Triplets(NamedTuple):
    """Of each picture of a batch, all (B,): its hardest positive and negative, int64, and whether it has both, bool."""

    positive: Tensor
    negative: Tensor
    complete: Tensor

    def of(self, distances: Tensor) -> tuple[Tensor, Tensor]:
        """(B, B) distances -> those to the positives and to the negatives, of the complete triplets alone."""
        rows = self.complete.nonzero()[:, 0]
        return distances[rows, self.positive[rows]], distances[rows, self.negative[rows]]


@torch.no_grad()
def batch_hard(distances: Tensor, labels: Tensor) -> Triplets:
    """(B, B), (B,) int64: the farthest picture of the same label, itself left out, and the nearest of another.

    Source: Hermans et al., arXiv 1703.07737.
    """
    same = labels[:, None] == labels
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    positive, farthest = distances.masked_fill(~same | itself, float("-inf")).max(1)
    negative, nearest = distances.masked_fill(same, float("inf")).min(1)
    return Triplets(farthest, nearest, positive.isfinite() & negative.isfinite())


def euclidean(features: Tensor) -> Tensor:
    """(B, d) -> (B, B) distances, with finite gradients where pictures are equal."""
    return torch.cdist(features, features, compute_mode="donot_use_mm_for_euclid_dist")


def mean_or_zero(terms: Tensor) -> Tensor:
    """(n,) -> their mean; 0, with a gradient of 0, for none."""
    return terms.sum() / max(1, len(terms))
