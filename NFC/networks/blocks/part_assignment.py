"""RPP's soft assignment of the positions of a map to parts, instead of stripes."""

import torch
from torch import Tensor, nn

GROUP = 8  # neighbouring channels that the authors' code averages


def assignment_of(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """(..., parts, h, w) -> the same: how much of each position goes to each part; the parts' shares sum to 1."""
    return (logits.float() * temperature).softmax(dim=-3)


def assigned_means(maps: Tensor, assignment: Tensor, divided: bool) -> Tensor:
    """(B, C, h, w), (B, parts, h, w) -> (B, parts, C): sums over all positions, weighted by the assignment.

    divided: by the sum of the weights, as in the paper (from memory); else the authors' code's parts * mean over the
    positions, which differs in the length of the vectors alone.
    """
    weights = assignment.flatten(2)
    total = weights.sum(2, keepdim=True) if divided else weights.shape[2] / weights.shape[1]
    return (weights / total).to(maps.dtype) @ maps.flatten(2).transpose(1, 2)


class PartAssignment(nn.Module):
    """(B, C, h, w) -> (B, parts, h, w): softmax over the parts of a 1 x 1 convolution.

    official: as in the authors' code, of means of eight channels, less their mean over the map.
    """

    def __init__(self, channels: int, parts: int, official: bool, temperature: float) -> None:
        super().__init__()
        self.official, self.temperature = official, temperature
        self.mask = nn.Conv2d(channels // GROUP if official else channels, parts, 1)

    def forward(self, maps: Tensor) -> Tensor:
        if self.official:
            maps = maps.unflatten(1, (-1, GROUP)).mean(2)
            maps = maps - maps.mean((2, 3), keepdim=True)
        return assignment_of(self.mask(maps), self.temperature)

    def pool(self, maps: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, parts, C); the authors' code does not divide."""
        return assigned_means(maps, self(maps), divided=not self.official)


def rows_of_parts(assignment: Tensor) -> Tensor:
    """(..., parts, h, w) -> (..., parts): the row of each part's centre of mass, from 0 at the top."""
    shares = assignment.sum(-1)
    rows = torch.arange(shares.shape[-1], device=shares.device, dtype=shares.dtype)
    return (shares * rows).sum(-1) / shares.sum(-1)
