"""What SIM costs on a large gallery: seconds, and memory above the input."""

import torch
from torch import Tensor

from ..matching.inferred import InferredDistances, Numbers
from .nfc import Measured, measure


def similarity_inference_cost(
    queries: int = 64, items: int = 100_000, dim: int = 32, numbers: Numbers | None = None, device: str = "cpu"
) -> Measured:
    """SIM in blocks of queries, whose distances are looked at and dropped, as ranking does."""
    return measure(Inferring(numbers or Numbers()), (queries, items, dim), 1, device=device)


class Inferring:
    """One run of SIM, as `measure` calls it."""

    def __init__(self, numbers: Numbers) -> None:
        self.numbers = numbers

    def __call__(self, feats: Tensor, pids: Tensor, camids: Tensor, queries: int) -> dict[str, Tensor]:
        distances = InferredDistances.between(feats[:queries], feats[queries:], self.numbers)
        return {"nearest": torch.cat([distances[rows].argmin(1) for rows in distances.parts()])}
