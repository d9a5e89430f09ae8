"""RBNet's reverse backbone (Yu and Piao, 2024): from the last map back to the finest, to parts of a mask and heat maps.

No code of its authors was found; where table and text of the paper disagree, docs/body_features.md says what is built.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, max_pool2d

JOINTS, PER_JOINT = 17, 4
BLOCKS = (3, 4, 6, 3)  # of the stages, finest first; as in ResNet-50


class SeparableBlock(nn.Module):
    """(B, channels, h, w) -> (B, out, h, w): 1 x 1 to a quarter, 3 x 3 of each channel by itself, 1 x 1; a shortcut."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        narrow = channels // 4
        self.convolutions = nn.Sequential(
            nn.Conv2d(channels, narrow, 1, bias=False),
            nn.Conv2d(narrow, narrow, 3, padding=1, groups=narrow, bias=False),
            nn.Conv2d(narrow, out, 1, bias=False),
            nn.BatchNorm2d(out),
        )
        self.shortcut = nn.Identity() if channels == out else nn.Conv2d(channels, out, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return (self.convolutions(x) + self.shortcut(x)).relu()


class ReverseBackbone(nn.Module):
    """Maps of a backbone, finest first -> mask (B, 1, h, w), above 0, and heat maps (B, 17, H, W).

    The last map goes through one stage for each stage of the backbone, whose last block takes it to the channels and
    the size of the map before; the two finest maps are added on the way. The heat maps are of the size of the finest
    map, the mask of the one after it.
    """

    def __init__(self, levels: Sequence[int]) -> None:
        super().__init__()
        first, second, *_ = levels
        pairs = list(zip(levels[1:], levels[:-1], BLOCKS, strict=False))
        self.stages = nn.ModuleList(_stage(*pair) for pair in pairs)
        self.change = nn.ModuleList(nn.Conv2d(channels, channels, 1) for channels in (first, second))
        self.parts = nn.Conv2d(first, JOINTS, 1)
        self.gain = nn.Parameter(torch.zeros(1))
        self.heat = nn.Sequential(
            nn.Conv2d(first, JOINTS * PER_JOINT, 1), nn.ReLU(), nn.Conv2d(JOINTS * PER_JOINT, JOINTS, 1, groups=JOINTS)
        )

    def mask(self, maps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """The mask, and the map (B, C, h, w) that it was read from.

        2 sigmoid(gain x sum of 17 parts, at least 0); the gain begins with 0, so the mask with 1 everywhere.
        """
        x = maps[-1]
        for number in range(len(self.stages) - 1, 0, -1):
            x = _sized(self.stages[number](x), maps[number])
        x = self.stages[0](x + self.change[1](maps[1]))
        return 2 * (self.gain * self.parts(x).relu().sum(1, keepdim=True)).sigmoid(), x

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        mask, x = self.mask(maps)
        return mask, self.heat(_sized(x, maps[0]) + self.change[0](maps[0]))


def _stage(channels: int, out: int, blocks: int) -> nn.Sequential:
    same = [SeparableBlock(channels, channels) for _ in range(blocks - 1)]
    return nn.Sequential(*same, SeparableBlock(channels, out))


def _sized(x: Tensor, like: Tensor) -> Tensor:
    if x.shape[2:] == like.shape[2:]:
        return x
    return interpolate(x, like.shape[2:], mode="bilinear", align_corners=False)


def drawn_mask(heat_maps: Tensor) -> Tensor:
    """Heat maps (B, 17, h, w) -> mask (B, 1, h, w) from 0.5, where no joint is near, to 1.5 on one (ours).

    The largest of all joints, from 0 to 1, spread over a tenth of the height and softened as much, so that it covers
    limbs too.
    """
    body = heat_maps.clamp(0, 1).amax(1, keepdim=True)
    reach = body.shape[2] // 20
    spread = max_pool2d(body, 2 * reach + 1, 1, reach)
    return 0.5 + avg_pool2d(spread, 2 * reach + 1, 1, reach, count_include_pad=False)


def heat_map_loss(predicted: Tensor, target: Tensor, peak: float) -> Tensor:
    """Of heat maps (B, 17, H, W) and targets (B, 17, h, w): mean of (1 + peak x target) x squared difference -> scalar.

    Targets are brought to the size of the prediction; one of zeros is of an unknown joint. With peak 0 it is the mean
    squared error, which an empty map nearly satisfies. 0 where no joint is known.
    """
    known = target.flatten(2).amax(2) > 0
    target = _sized(target.to(predicted.dtype), predicted)
    errors = ((1 + peak * target) * (predicted - target).square()).mean((2, 3))
    return (errors * known).sum() / known.sum().clamp(min=1)
