"""IDLA (Ahmed et al., CVPR 2015): an improved deep learning architecture, which judges whether two pictures are of one.

The number of parameters that is published, 2 308 147, is met by exactly this reading. There are no released weights;
the names of the tensors are ours.
"""

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn
from torch.nn.functional import max_pool2d

from .base import Extractor
from .blocks.difference_network import DifferenceNetwork, DifferenceSizes
from .files import build_from_file


@dataclass(frozen=True)
class IDLASizes(DifferenceSizes):
    """first: channels of the first convolution."""

    first: int = 20


class IDLA(DifferenceNetwork):
    """(B, 3, 160, 60) -> maps (B, 25, 37, 12); the last pooling rounds up, rectified before: the public copies do."""

    name = "idla"
    Sizes = IDLASizes

    def __init__(self, sizes: IDLASizes) -> None:
        height, width = (((side - 4) // 2 - 4) // 2 for side in (sizes.height, sizes.width))
        rows, columns = ((side - 1) // 2 for side in (height, width))
        super().__init__(sizes, (sizes.channels, height, width), sizes.channels * rows * columns)
        self.conv1 = nn.Conv2d(3, sizes.first, 5)
        self.conv2 = nn.Conv2d(sizes.first, sizes.channels, 5)
        self.across_a = nn.Conv2d(sizes.channels, sizes.channels, 3)
        self.across_b = nn.Conv2d(sizes.channels, sizes.channels, 3)

    def maps(self, pictures: Tensor) -> Tensor:
        return max_pool2d(self.conv2(max_pool2d(self.conv1(pictures).relu(), 2)).relu(), 2)

    def across_patches(self, summary: Tensor, side: str) -> Tensor:
        across = self.get_submodule(f"across_{side}")
        return max_pool2d(across(summary).relu(), 2, ceil_mode=True)


NETWORK = IDLA


def build(weights: str | Path | None, preset: str) -> Extractor:
    return build_from_file(IDLA, weights, preset)
