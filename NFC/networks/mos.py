"""MoS, "matching on sets": a picture is a soft set of patterns, how strongly each of them is there.

The mean over the map behind ResNet-50's last ReLU is such a set. Batch normalisation makes negative numbers, so it
stands before the classifier alone; that the losses and the test compare what is before it is forced by the formulas.
No code of its authors was found: the weights of the losses and all numbers of the recipe are ours.
"""

from dataclasses import dataclass
from pathlib import Path

from ..features.kinds.layout import Layout
from .base import Extractor
from .baseline import Baseline, BaselineSizes
from .files import build_from_file
from .looks import Look, SetLook
from .reid_network import Inputs


@dataclass(frozen=True)
class MoSSizes(BaselineSizes):
    """`backbone` resnet50_ibn_a is the row "w/ ibn" of the paper."""


class MoS(Baseline):
    """(B, 3, H, W) -> (B, channels), at least 0: the baseline's mean over the map as features of the kind `sets`."""

    name = "mos"
    Sizes = MoSSizes

    def __init__(self, sizes: MoSSizes) -> None:
        super().__init__(sizes)
        self.layout = Layout("sets", (self.feature_dim,))

    def explain_pair(self, inputs: Inputs) -> list[Look]:
        return [SetLook("Channels as sets", self.backbone(inputs.pictures))]


NETWORK = MoS


def build(weights: str | Path | None, preset: str) -> Extractor:
    return build_from_file(MoS, weights, preset)
