"""Networks of inception blocks with batch normalisation, as Caffe's pose-guided networks have them.

A path is a list of steps by the authors' names of their layers; its convolutions and its normalisations are two
collections, so that streams can share the first and have the second for themselves.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol, Self

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, max_pool2d

Layer = Callable[[str, Tensor], Tensor]  # by name: convolution, normalisation, ReLU
Shape = tuple[int, int, int, int]  # of a convolution: channels in and out, kernel, stride


class Step(Protocol):
    """A part of a path: its layers by name, its output, and how it is computed from these."""

    def layers(self, name: str, channels: int) -> dict[str, Shape]: ...

    def out(self, channels: int) -> int: ...

    def scaled(self, factor: float) -> Self: ...

    def __call__(self, name: str, x: Tensor, layer: Layer) -> Tensor: ...


Path = Mapping[str, Step]


@dataclass(frozen=True)
class Plain:
    """A convolution, and a maximum over `pool` x `pool` at stride 2 behind it (0: none)."""

    width: int
    kernel: int
    stride: int = 1
    pool: int = 0

    def layers(self, name: str, channels: int) -> dict[str, Shape]:
        return {name: (channels, self.width, self.kernel, self.stride)}

    def out(self, channels: int) -> int:
        return self.width

    def scaled(self, factor: float) -> "Plain":
        return replace(self, width=_scaled(self.width, factor))

    def __call__(self, name: str, x: Tensor, layer: Layer) -> Tensor:
        x = layer(name, x)
        return max_pool2d(x, self.pool, 2, ceil_mode=True) if self.pool else x


@dataclass(frozen=True)
class Mixed:
    """An inception block of Ioffe and Szegedy (2015): 1 x 1, 3 x 3 and double 3 x 3 convolutions beside a pooling.

    one, projected: widths of the first and of what follows the pooling; both 0 in a block that halves the map.
    kernels: of the first two of the double convolutions. maximum: pool by it where the map keeps its size.
    """

    one: int
    reduced: int
    three: int
    double_reduced: int
    double: int
    projected: int
    kernels: tuple[int, int] = (1, 3)
    maximum: bool = False

    def layers(self, name: str, channels: int) -> dict[str, Shape]:
        stride = 1 if self.projected else 2
        first, second = self.kernels
        shapes = {
            "1x1": (channels, self.one, 1, 1),
            "3x3_reduce": (channels, self.reduced, 1, 1),
            "3x3": (self.reduced, self.three, 3, stride),
            "double3x3_reduce": (channels, self.double_reduced, first, 1),
            "double3x3a": (self.double_reduced, self.double, second, 1),
            "double3x3b": (self.double, self.double, 3, stride),
            "pool_proj": (channels, self.projected, 1, 1),
        }
        return {f"{name}/{part}": shape for part, shape in shapes.items() if shape[1]}

    def out(self, channels: int) -> int:
        return self.one + self.three + self.double + (self.projected or channels)

    def scaled(self, factor: float) -> "Mixed":
        names = ("one", "reduced", "three", "double_reduced", "double", "projected")
        return replace(self, **{name: _scaled(getattr(self, name), factor) for name in names})

    def __call__(self, name: str, x: Tensor, layer: Layer) -> Tensor:
        three, double = x, x
        for part in ("3x3_reduce", "3x3"):
            three = layer(f"{name}/{part}", three)
        for part in ("double3x3_reduce", "double3x3a", "double3x3b"):
            double = layer(f"{name}/{part}", double)
        if not self.projected:
            return torch.cat([three, double, max_pool2d(x, 3, 2, ceil_mode=True)], dim=1)
        pooled = max_pool2d(x, 3, 1, 1) if self.maximum else avg_pool2d(x, 3, 1, 1)
        return torch.cat([layer(f"{name}/1x1", x), three, double, layer(f"{name}/pool_proj", pooled)], dim=1)


def _scaled(width: int, factor: float) -> int:
    return max(4, round(width * factor)) if width else 0


def scaled(path: Path, factor: float) -> dict[str, Step]:
    """The path with all widths times `factor`, at least 4."""
    return {name: step.scaled(factor) for name, step in path.items()}


def shapes_of(path: Path, channels: int) -> tuple[dict[str, Shape], int]:
    """The layers of a path that begins with so many channels, and how many it ends with."""
    layers: dict[str, Shape] = {}
    for name, step in path.items():
        layers |= step.layers(name, channels)
        channels = step.out(channels)
    return layers, channels


def convolutions(layers: Mapping[str, Shape]) -> nn.ModuleDict:
    return nn.ModuleDict(
        {
            name: nn.Conv2d(channels, out, kernel, stride, kernel // 2, bias=False)
            for name, (channels, out, kernel, stride) in layers.items()
        }
    )


def normalisations(layers: Mapping[str, Shape]) -> nn.ModuleDict:
    return nn.ModuleDict({name: nn.BatchNorm2d(out) for name, (_, out, _, _) in layers.items()})


def run(path: Path, x: Tensor, convolution: Callable[[str], nn.Module], norms: nn.ModuleDict) -> Tensor:
    """(B, C, H, W) -> the map at the end of the path."""

    def layer(name: str, x: Tensor) -> Tensor:
        return norms[name](convolution(name)(x)).relu()

    for name, step in path.items():
        x = step(name, x, layer)
    return x


class Trunk(nn.Module):
    """A path with convolutions and normalisations of its own; `channels` at its end."""

    def __init__(self, path: Path, channels: int) -> None:
        super().__init__()
        self.path = path
        layers, self.channels = shapes_of(path, channels)
        self.convolutions, self.norms = convolutions(layers), normalisations(layers)

    def forward(self, x: Tensor) -> Tensor:
        return run(self.path, x, self.convolutions.__getitem__, self.norms)


class Stream(nn.Module):
    """Normalisations for all layers, and convolutions for those that are not shared."""

    def __init__(self, layers: Mapping[str, Shape], own: Mapping[str, Shape]) -> None:
        super().__init__()
        self.norms, self.convolutions = normalisations(layers), convolutions(own)


class SharedInception(nn.Module):
    """GoogLeNet with batch normalisation ("v2"), (B, 3, H, W) -> (B, channels, H/32, W/32), as several streams.

    They share the convolutions of all steps but those `own`; normalisations are each stream's. short: without the
    blocks `LEFT_OUT`, for two CPU cores (ours).
    """

    def __init__(self, streams: int, width: float = 1.0, short: bool = False, own: tuple[str, ...] = ()) -> None:
        super().__init__()
        path = {name: step for name, step in GOOGLENET_BN.items() if not (short and name in LEFT_OUT)}
        self.path = scaled(path, width)
        layers, self.channels = shapes_of(self.path, 3)
        separate = {name: shape for name, shape in layers.items() if name.startswith(own)} if own else {}
        self.convolutions = convolutions({name: shape for name, shape in layers.items() if name not in separate})
        self.streams = nn.ModuleList(Stream(layers, separate) for _ in range(streams))

    def forward(self, pictures: Tensor, stream: int) -> Tensor:
        own = self.streams[stream]
        every = dict(self.convolutions.items()) | dict(own.convolutions.items())
        return run(self.path, pictures, every.__getitem__, own.norms)


GOOGLENET_BN: Path = {
    "conv1/7x7_s2": Plain(64, 7, 2, pool=3),
    "conv2/3x3_reduce": Plain(64, 1),
    "conv2/3x3": Plain(192, 3, pool=3),
    "inception_3a": Mixed(64, 64, 64, 64, 96, 32),
    "inception_3b": Mixed(64, 64, 96, 64, 96, 64),
    "inception_3c": Mixed(0, 128, 160, 64, 96, 0),
    "inception_4a": Mixed(224, 64, 96, 96, 128, 128),
    "inception_4b": Mixed(192, 96, 128, 96, 128, 128),
    "inception_4c": Mixed(160, 128, 160, 128, 160, 96),
    "inception_4d": Mixed(96, 128, 192, 160, 192, 96),
    "inception_4e": Mixed(0, 128, 192, 192, 256, 0),
    "inception_5a": Mixed(352, 192, 320, 160, 224, 128),
    "inception_5b": Mixed(352, 192, 320, 192, 224, 128, maximum=True),
}
LEFT_OUT = ("inception_3b", "inception_4b", "inception_4c", "inception_4d", "inception_5b")
