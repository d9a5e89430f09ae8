"""The matching gate (Varior et al., ECCV 2016): what two maps agree on, row by row, is amplified."""

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

SPREAD = 4.0  # where p starts: a recollection of the paper, not checked against it


class MatchingGate(nn.Module):
    """Maps (P, C, R, W) of two pictures -> both filtered.

    A row of each is summarised by one convolution as wide as the map, shared by both pictures; where the summaries y
    agree, the gate exp(-(y_a - y_b)^2 / p^2) of the row and channel is 1. The paper's square of p is a recollection.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.full((channels,), SPREAD))
        self.summary = nn.Conv2d(channels, channels, (1, width))
        self.act = nn.PReLU(channels)

    def gate(self, a: Tensor, b: Tensor) -> Tensor:
        """(P, C, R, 1) in (0, 1], the same for both pictures."""
        difference = self.act(self.summary(a)) - self.act(self.summary(b))
        return (-(difference / self.p[:, None, None]).square()).exp()

    def forward(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        gate = self.gate(a, b)
        return unit_channels(a + a * gate), unit_channels(b + b * gate)


class NoGate(nn.Module):
    """The same without a gate: a picture's map does not depend on the other one."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()

    def gate(self, a: Tensor, b: Tensor) -> Tensor:
        return torch.zeros_like(a[..., :1])

    def forward(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        return unit_channels(a), unit_channels(b)


def unit_channels(maps: Tensor) -> Tensor:
    """(P, C, H, W) with the channels of each place of unit length."""
    return normalize(maps, dim=1)
