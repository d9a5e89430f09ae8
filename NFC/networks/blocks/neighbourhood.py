"""Differences between a place of one map and the neighbourhood of that place in the other (Ahmed et al., CVPR 2015)."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from pose2id.devices import AtOnce

BLOCK = AtOnce(cpu=2**20, gpu=2**28)  # differences


def shifted(maps: Tensor, size: int) -> Iterator[tuple[int, int, Tensor]]:
    """(u, v, maps moved) for each place (u, v) of a size x size neighbourhood, size odd; zeros outside of the map.

    (..., H, W) each: what is at (y, x) of it is at (y + u - size // 2, x + v - size // 2) of `maps`.
    """
    height, width = maps.shape[-2:]
    margin = size // 2
    padded = pad(maps, (margin, margin, margin, margin))
    for u in range(size):
        for v in range(size):
            yield u, v, padded[..., u : u + height, v : v + width]


def neighbourhood_differences(own: Tensor, other: Tensor, size: int = 5) -> Tensor:
    """K = f 1 - N[g] of maps (..., H, W), f `own` and g `other` -> (..., H, W, size, size).

    Neighbours outside of the map are 0, so that K = f there: the paper does not say, most public copies do so. K' = g 1
    - N[f] is the same of the maps exchanged; it is not -K.
    """
    planes = [own - moved for _, _, moved in shifted(other, size)]
    return torch.stack(planes, -1).unflatten(-1, (size, size))


class PatchSummary(nn.Conv2d):
    """Rectified differences, each size x size patch of them summed up by one convolution: (P, C, H, W) twice -> same.

    That is a convolution of stride `size` over the patches laid side by side, a map of (size H, size W), which is never
    made: the sum over places of a product with each place's differences is the same.
    """

    def __init__(self, channels: int, size: int) -> None:
        super().__init__(channels, channels, size, stride=size)

    def forward(self, own: Tensor, other: Tensor) -> Tensor:
        summed = self._with_gradient if torch.is_grad_enabled() else self._in_blocks
        return (summed(own, other) + self.bias[:, None]).unflatten(2, own.shape[2:])

    def _with_gradient(self, own: Tensor, other: Tensor) -> Tensor:
        """(P, C, H * W): a product a place."""
        moves = shifted(other, self.kernel_size[0])
        return sum(self.weight[:, :, u, v] @ (own - moved).relu().flatten(2) for u, v, moved in moves)

    def _in_blocks(self, own: Tensor, other: Tensor) -> Tensor:
        """The same, in one product of the differences of a few pairs, which stay in the cache of a CPU."""
        pairs, channels, height, width = own.shape
        size = BLOCK.rows(self.weight.numel() // channels * height * width, own.device)
        weight = self.weight.permute(0, 2, 3, 1).flatten(1)  # (C, places * C)
        planes = own.new_empty(min(size, pairs), weight.shape[1] // channels, channels, height, width)
        total = own.new_empty(pairs, channels, height * width)
        for first, second, result in zip(own.split(size), other.split(size), total.split(size), strict=True):
            block = planes[: len(first)]
            for place, (_, _, moved) in enumerate(shifted(second, self.kernel_size[0])):
                torch.sub(first, moved, out=block[:, place])
            torch.matmul(weight, block.relu_().flatten(1, 2).flatten(2), out=result)
        return total
