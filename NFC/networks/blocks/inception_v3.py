"""Inception-V3 as the code of SPReID builds it in Chainer (Kalayeh et al., CVPR 2018), with the names of its files.

Facts of Chainer: batch normalisation adds 2e-5 to the variance; mean pooling counts the padding; the maxima of the stem
round up, those of the reductions down.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, max_pool2d

from ..looks import grid_place

EPSILON = 2e-5
Kernel = int | tuple[int, int]


class ConvBN(nn.Module):
    """Convolution without bias, batch normalisation, ReLU; `pooled`: behind a mean over so many places squared.

    Padding keeps the size of the map, unless it is given.
    """

    def __init__(
        self,
        channels: int,
        out: int,
        kernel: Kernel = 1,
        stride: int = 1,
        padding: int | None = None,
        dilation: int = 1,
        pooled: int = 0,
    ) -> None:
        super().__init__()
        sides = (kernel, kernel) if isinstance(kernel, int) else kernel
        same = tuple(dilation * (side // 2) for side in sides)
        self.conv = nn.Conv2d(
            channels, out, sides, stride, same if padding is None else padding, dilation=dilation, bias=False
        )
        self.bn = nn.BatchNorm2d(out, eps=EPSILON)
        self.pooled = pooled

    def forward(self, x: Tensor) -> Tensor:
        if self.pooled:
            x = avg_pool2d(x, self.pooled, 1, self.pooled // 2)
        return self.bn(self.conv(x)).relu()


class Row(nn.Sequential):
    """Convolutions one after the other, each of (channels out, kernel) and a last stride with its padding."""

    def __init__(self, channels: int, steps: Sequence[tuple[int, Kernel]], stride: int = 1, padding: int | None = None):
        before = [channels, *(out for out, _ in steps)]
        layers = [ConvBN(first, out, kernel) for first, (out, kernel) in zip(before, steps[:-1], strict=False)]
        out, kernel = steps[-1]
        super().__init__(*layers, ConvBN(before[-2], out, kernel, stride, padding))


class SideBySide(nn.ModuleList):
    """Branches on the same map, their channels one after the other; pool (kernel, stride, padding): also its maxima."""

    def __init__(self, branches: Sequence[nn.Module], pool: tuple[int, int, int] | None = None) -> None:
        super().__init__(branches)
        self.pool = pool

    def forward(self, x: Tensor) -> Tensor:
        maps = [branch(x) for branch in self]
        return torch.cat([*maps, max_pool2d(x, *self.pool)] if self.pool else maps, 1)


def inception_35(channels: int, pooled: int, thin: int) -> SideBySide:
    a, b, c, d = (width // thin for width in (48, 64, 96, pooled))
    rows = [Row(channels, [(a, 1), (b, 5)]), Row(channels, [(b, 1), (c, 3), (c, 3)])]
    return SideBySide([ConvBN(channels, b), *rows, ConvBN(channels, d, pooled=3)])


def inception_17(channels: int, hidden: int, thin: int) -> SideBySide:
    h, out, wide, high = hidden // thin, 192 // thin, (1, 7), (7, 1)
    once = Row(channels, [(h, 1), (h, wide), (out, high)])
    twice = Row(channels, [(h, 1), (h, high), (h, wide), (h, high), (out, wide)])
    return SideBySide([ConvBN(channels, out), once, twice, ConvBN(channels, out, pooled=3)])


def inception_8(channels: int, thin: int, dilation: int) -> SideBySide:
    """dilation: of the convolutions, and the mean is of 5 x 5 places instead of 3 x 3."""
    a, b, c, d = (width // thin for width in (320, 384, 448, 192))

    def crossed() -> SideBySide:
        return SideBySide([ConvBN(b, b, kernel, dilation=dilation) for kernel in ((1, 3), (3, 1))])

    once = nn.Sequential(ConvBN(channels, b), crossed())
    twice = nn.Sequential(ConvBN(channels, c), ConvBN(c, b, 3, dilation=dilation), crossed())
    return SideBySide([ConvBN(channels, a), once, twice, ConvBN(channels, d, pooled=2 * dilation + 1)])


class InceptionV3(nn.Module):
    """(B, 3, H, W) -> (B, `channels`, h, w): 14 x 14 of 512 x 512.

    dilated: without the last stride, with dilated blocks after it: 30 x 30. thin: all channels are divided by it.
    """

    def __init__(self, dilated: bool, thin: int = 1) -> None:
        super().__init__()
        steps = [(32, 3, 2, 0), (32, 3, 1, 0), (64, 3, 1, 1), (80, 1, 1, 0), (192, 3, 1, 0)]
        before = [3, *(step[0] // thin for step in steps)]
        layers = [ConvBN(a, out // thin, *how) for a, (out, *how) in zip(before, steps, strict=False)]
        self.convolution = nn.ModuleList(layers)
        first, second, third = (width // thin for width in (288, 768, 1280))
        self.channels = 2048 // thin
        stages = [
            [inception_35(c // thin, pooled, thin) for c, pooled in ((192, 32), (256, 64), (288, 64))],
            [inception_17(second, hidden, thin) for hidden in (128, 160, 160, 192)],
            [inception_8(c, thin, 2 if dilated else 1) for c in (third, self.channels)],
        ]
        self.inception = nn.ModuleList(nn.Sequential(*stage) for stage in stages)
        a, b, c, d, e = (width // thin for width in (64, 96, 192, 320, 384))
        last = (1, 1) if dilated else (2, 0)
        to_17 = [ConvBN(first, e, 3, 2, 0), Row(first, [(a, 1), (b, 3), (b, 3)], 2, 0)]
        to_8 = [
            Row(second, [(c, 1), (d, 3)], *last),
            Row(second, [(c, 1), (c, (1, 7)), (c, (7, 1)), (c, 3)], *last),
        ]
        self.grid_reduction = nn.ModuleList([SideBySide(to_17, (3, 2, 0)), SideBySide(to_8, (3, *last))])

    def forward(self, pictures: Tensor) -> Tensor:
        x = pictures
        for number, layer in enumerate(self.convolution):
            x = layer(x)
            if number in (2, 4):
                x = max_pool2d(x, 3, 2, ceil_mode=True)
        x = self.grid_reduction[0](self.inception[0](x))
        return self.inception[2](self.grid_reduction[1](self.inception[1](x)))


def map_place(maps: Tensor, size: tuple[int, int], dilated: bool) -> tuple[float, float, float, float]:
    """What of pictures of `size`, (height, width), the cells of a map (..., h, w) of `InceptionV3` cover.

    Its convolutions without a border leave out a margin.
    """
    first, step = (21, 16) if dilated else (37, 32)
    return grid_place(first, step, (maps.shape[-2], maps.shape[-1]), size)


class Classifier(nn.Module):
    """ASPP and a layer of classes: (B, channels, h, w) -> logits (B, classes, h, w)."""

    RATES = (3, 6, 9, 12)

    def __init__(self, channels: int, classes: int, thin: int = 1) -> None:
        super().__init__()
        a, b, c = (width // thin for width in (512, 256, 1024))
        around = [ConvBN(channels, b, 3, dilation=rate) for rate in self.RATES]
        whole = [ConvBN(channels, a), ConvBN(channels, a)]
        self.ASPP = nn.ModuleList([*whole, *around, ConvBN(2 * a + len(around) * b, c)])
        self.classifier = nn.ModuleList([Scores(c, classes)])

    def forward(self, x: Tensor) -> Tensor:
        whole, *others, last = self.ASPP
        mean = whole(x.mean((2, 3), keepdim=True)).expand(-1, -1, *x.shape[2:])
        return self.classifier[0](last(torch.cat([mean, *(other(x) for other in others)], 1)))


class Scores(nn.Module):
    """Classes by a 1 x 1 convolution, which Chainer's files have in a chain of its own."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)
