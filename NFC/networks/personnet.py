"""PersonNet (Wu et al., arXiv 1601.07255): deeper than IDLA, with 3 x 3 filters.

What is known of it, from the paper's abstract: a raw pair in, a similarity out, IDLA's neighbourhood differences, ten
layers of weights, 3 x 3 filters. How wide the layers are and where they pool is our reading, with 5 379 810 parameters;
there is no public code and there are no released weights.
"""

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn
from torch.nn.functional import max_pool2d

from .base import Extractor
from .blocks.difference_network import DifferenceNetwork, DifferenceSizes
from .files import build_from_file

TIED, UNTIED = ("conv1", "conv2", "conv3", "conv4"), ("conv5", "conv6", "conv7")


@dataclass(frozen=True)
class PersonNetSizes(DifferenceSizes):
    channels: int = 32
    hidden: int = 512


class PersonNet(DifferenceNetwork):
    """(B, 3, 160, 60) -> maps (B, 32, 40, 15)."""

    name = "personnet"
    Sizes = PersonNetSizes

    def __init__(self, sizes: PersonNetSizes) -> None:
        height, width = sizes.height // 4, sizes.width // 4
        rows, columns = ((side + 1) // 2 for side in (height, width))
        super().__init__(sizes, (sizes.channels, height, width), sizes.channels * rows * columns)
        for number, name in enumerate(TIED):
            self.add_module(name, nn.Conv2d(sizes.channels if number else 3, sizes.channels, 3, padding=1))
        for name in (f"{name}_{side}" for side in "ab" for name in UNTIED):
            self.add_module(name, nn.Conv2d(sizes.channels, sizes.channels, 3, padding=1))

    def maps(self, pictures: Tensor) -> Tensor:
        first = max_pool2d(self._rectified(pictures, TIED[:2]), 2)
        return max_pool2d(self._rectified(first, TIED[2:]), 2)

    def across_patches(self, summary: Tensor, side: str) -> Tensor:
        """Three convolutions, pooled in twos, rounded up."""
        return max_pool2d(self._rectified(summary, [f"{name}_{side}" for name in UNTIED]), 2, ceil_mode=True)

    def _rectified(self, x: Tensor, names: tuple[str, ...] | list[str]) -> Tensor:
        for name in names:
            x = self.get_submodule(name)(x).relu()
        return x


NETWORK = PersonNet


def build(weights: str | Path | None, preset: str) -> Extractor:
    return build_from_file(PersonNet, weights, preset)
