"""The baseline that methods of local features are compared with: one mean over the last map (Luo et al., CVPRW 2019).

With the loss `identity` alone it is what papers call IDE, with `identity` and `margin_triplet` their ID + triplet.
"""

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from .base import Extractor
from .blocks.heads import bn_neck, class_scores
from .blocks.map_network import MapNetwork, MapSizes
from .files import build_from_file
from .reid_network import Branch, Inputs


@dataclass(frozen=True)
class BaselineSizes(MapSizes):
    """neck: classify behind a batch normalisation, and compare what is before it."""

    neck: bool = True


class Baseline(MapNetwork):
    """(B, 3, H, W) -> (B, channels): the mean over the map, before the neck."""

    name = "baseline"
    Sizes = BaselineSizes

    def __init__(self, sizes: BaselineSizes) -> None:
        super().__init__(sizes)
        self.feature_dim = self.backbone.channels
        self.bottleneck = bn_neck(self.feature_dim) if sizes.neck else nn.Identity()
        self.classifier = nn.Linear(self.feature_dim, sizes.num_classes, bias=False) if sizes.num_classes else None

    def unused_at_test(self) -> tuple[str, ...]:
        return "bottleneck.", "classifier."

    def branches(self, inputs: Inputs) -> list[Branch]:
        features = self(inputs.pictures)
        return [Branch(features, class_scores(self.bottleneck, self.classifier, features) if self.classifier else None)]

    def forward(self, pictures: Tensor) -> Tensor:
        return self.backbone(pictures).mean((2, 3))


NETWORK = Baseline


def build(weights: str | Path | None, preset: str) -> Extractor:
    return build_from_file(Baseline, weights, preset)
