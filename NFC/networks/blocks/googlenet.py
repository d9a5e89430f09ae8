"""GoogLeNet as Caffe has it: local response normalisation, pooling that rounds up, no batch normalisation inside.

Names of the tensors are those of the code of PABP (Suh et al., ECCV 2018).
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool3d, max_pool2d

# Block -> channels of its four branches: 1 x 1; 3 x 3 and what it is reduced to before; 5 x 5 likewise; pooled.
BLOCKS = {
    "3a": (64, (96, 128), (16, 32), 32),
    "3b": (128, (128, 192), (32, 96), 64),
    "4a": (192, (96, 208), (16, 48), 64),
    "4b": (160, (112, 224), (24, 64), 64),
    "4c": (128, (128, 256), (24, 64), 64),
    "4d": (112, (144, 288), (32, 64), 64),
    "4e": (256, (160, 320), (32, 128), 128),
    "5a": (256, (160, 320), (32, 128), 128),
    "5b": (384, (192, 384), (48, 128), 128),
}


class Inception(nn.Module):
    """Four branches side by side, (B, channels, h, w) -> (B, `out`, h, w); dilated ones see as much further."""

    def __init__(self, channels: int, block: str, thin: int, dilation: int) -> None:
        super().__init__()
        one, three, five, pooled = BLOCKS[block]
        self._1x1 = nn.Conv2d(channels, one // thin, 1)
        self._3x3_reduce = nn.Conv2d(channels, three[0] // thin, 1)
        self._3x3 = nn.Conv2d(three[0] // thin, three[1] // thin, 3, padding=dilation, dilation=dilation)
        self._5x5_reduce = nn.Conv2d(channels, five[0] // thin, 1)
        self._5x5 = nn.Conv2d(five[0] // thin, five[1] // thin, 5, padding=2 * dilation, dilation=dilation)
        self.pool = nn.MaxPool2d(2 * dilation + 1, 1, dilation)
        self.pool_proj = nn.Conv2d(channels, pooled // thin, 1)
        self.out = (one + three[1] + five[1] + pooled) // thin

    def forward(self, x: Tensor) -> Tensor:
        three, five = self._3x3(self._3x3_reduce(x).relu()), self._5x5(self._5x5_reduce(x).relu())
        return torch.cat([self._1x1(x), three, five, self.pool_proj(self.pool(x))], 1).relu()


class CrossMapNorm(nn.Module):
    """Local response normalisation over five channels, (B, C, h, w) -> the same.

    exact: as Caffe has it; else as PyTorch's `CrossMapLRN2d` computes it on a CPU, which never takes the first channel
    out of its running sum again, so that it counts in all windows from the fourth on. The latter is what the authors'
    code gives today, and differs by some per cent; which of the two their weights saw is not known.
    """

    SIZE, ALPHA, BETA = 5, 1e-4, 0.75

    def __init__(self, exact: bool = False) -> None:
        super().__init__()
        self.exact = exact

    def forward(self, x: Tensor) -> Tensor:
        squares = x.square()
        window, around = (self.SIZE, 1, 1), (self.SIZE // 2, 0, 0)
        means = avg_pool3d(squares[:, None], window, 1, around)[:, 0]
        if not self.exact:
            after = torch.arange(x.shape[1], device=x.device)[:, None, None] > self.SIZE // 2
            means = means + squares[:, :1] / self.SIZE * after
        return x / (1 + self.ALPHA * means) ** self.BETA


class CaffeGoogLeNet(nn.Module):
    """(B, 3, H, W) -> (B, `channels`, h, w), the map of the block `last`, at least 0.

    dilated: h = H / 8, the blocks from 4a on dilated by 2 instead of halving the map before them; else H / 16, also
    with 5a and 5b. thin: all channels are divided by it. exact: of `CrossMapNorm`.
    """

    def __init__(self, last: str = "4e", dilated: bool = True, thin: int = 1, exact: bool = False) -> None:
        super().__init__()
        self.dilated = dilated
        self.conv1__7x7_s2 = nn.Conv2d(3, 64 // thin, 7, 2, 3)
        self.conv2__3x3_reduce = nn.Conv2d(64 // thin, 64 // thin, 1)
        self.conv2__3x3 = nn.Conv2d(64 // thin, 192 // thin, 3, padding=1)
        self.normalise = CrossMapNorm(exact)
        names = list(BLOCKS)
        self.blocks, channels = names[: names.index(last) + 1], 192 // thin
        for name in self.blocks:
            block = Inception(channels, name, thin, 2 if dilated and name > "4" else 1)
            setattr(self, f"inception_{name}", block)
            channels = block.out
        self.channels = channels

    def forward(self, pictures: Tensor) -> Tensor:
        x = self.normalise(_halved(self.conv1__7x7_s2(pictures).relu()))
        x = self.conv2__3x3(self.conv2__3x3_reduce(x).relu()).relu()
        x = _halved(self.normalise(x))
        for name in self.blocks:
            x = _halved(x) if name == "4a" and not self.dilated else x
            x = self.get_submodule(f"inception_{name}")(x)
        return x


def _halved(x: Tensor) -> Tensor:
    return max_pool2d(x, 3, 2, ceil_mode=True)
