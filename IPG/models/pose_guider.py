"""Pose guider: a skeleton picture becomes features that are added after the denoising UNet's first convolution."""

from collections.abc import Sequence
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn


class PoseGuider(nn.Module):
    """Convolutions of growing width; each step to the next width halves the picture (three steps: factor 8)."""

    def __init__(self, widths: Sequence[int], out_channels: int) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(3, widths[0], kernel_size=3, padding=1)
        self.blocks = nn.ModuleList()
        for width, following in pairwise(widths):
            self.blocks.append(nn.Conv2d(width, width, kernel_size=3, padding=1))
            self.blocks.append(nn.Conv2d(width, following, kernel_size=3, padding=1, stride=2))
        self.conv_out = nn.Conv2d(widths[-1], out_channels, kernel_size=3, padding=1)
        nn.init.zeros_(self.conv_out.weight)  # training starts from "no pose"
        nn.init.zeros_(self.conv_out.bias)

    def forward(self, poses: Tensor) -> Tensor:
        """(B, 3, H, W) RGB in [0, 1] -> (B, out_channels, H / 8, W / 8) for four widths."""
        hidden = F.silu(self.conv_in(poses))
        for block in self.blocks:
            hidden = F.silu(block(hidden))
        return self.conv_out(hidden)
