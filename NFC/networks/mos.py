"""MoS, "matching on sets": a picture is a soft set of patterns, how strongly each of them is there.

The mean over the map behind ResNet-50's last ReLU is such a set. Batch normalisation makes negative numbers, so it
stands before the classifier alone; that the losses and the test compare what is before it is forced by the formulas.
No code of its authors was found: the weights of the losses and all numbers of the recipe are ours.
"""

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from ..features.kinds.layout import Layout
from .base import Extractor
from .blocks.heads import bn_neck, class_scores
from .blocks.map_network import MapNetwork, MapSizes
from .files import build_from_file
from .reid_network import Branch, Inputs


@dataclass(frozen=True)
class MoSSizes(MapSizes):
    """`backbone` resnet50_ibn_a is the row "w/ ibn" of the paper."""


class MoS(MapNetwork):
    """(B, 3, H, W) -> (B, channels), at least 0; features of the kind `sets`."""

    name = "mos"
    Sizes = MoSSizes

    def __init__(self, sizes: MoSSizes) -> None:
        super().__init__(sizes)
        self.feature_dim = self.backbone.channels
        self.layout = Layout("sets", (self.feature_dim,))
        self.bottleneck = bn_neck(self.feature_dim)
        self.classifier = nn.Linear(self.feature_dim, sizes.num_classes, bias=False) if sizes.num_classes else None

    def unused_at_test(self) -> tuple[str, ...]:
        return "bottleneck.", "classifier."

    def branches(self, inputs: Inputs) -> list[Branch]:
        """The set, with scores behind the neck."""
        sets = self(inputs.pictures)
        return [Branch(sets, class_scores(self.bottleneck, self.classifier, sets) if self.classifier else None)]

    def forward(self, pictures: Tensor) -> Tensor:
        return self.backbone(pictures).mean((2, 3))


NETWORK = MoS


def build(weights: str | Path | None, preset: str) -> Extractor:
    return build_from_file(MoS, weights, preset)
