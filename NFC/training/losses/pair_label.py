"""Which pairs of a batch show the same person twice."""

from torch import Tensor

from ...networks.reid_network import Pairs


def same_person(pairs: Pairs, labels: Tensor) -> Tensor:
    """(P,) bool, for labels (B,) of the batch."""
    return labels[pairs.rows[:, 0]] == labels[pairs.rows[:, 1]]
