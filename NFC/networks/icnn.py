"""ICNN (IEEE Access 2018): PCB's stripes beside one global feature, trained together and fused at the end.

No code is public and the paper's body was not read: what is fused, the weights and the losses are ours.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from .base import Extractor
from .blocks.heads import class_scores
from .blocks.map_network import MapNetwork, MapSizes
from .blocks.stripe_heads import HeadForm, StripeHeads, stripe_means, stripe_shares
from .files import build_from_file
from .looks import Look, PartLook, energy_look, numbered
from .reid_network import Branch, Inputs


@dataclass(frozen=True)
class ICNNSizes(MapSizes):
    """global_weight: of the global part in the distance; 1 makes it weigh as much as all stripes together.

    metric_only: the fused feature is trained by itself, without classifiers: our reading of the paper's row "TBH".
    """

    height: int = 384
    parts: int = 6
    reduced: int = 256
    global_weight: float = 1.0
    metric_only: bool = False


class ICNN(MapNetwork):
    """(B, 3, H, W) -> (B, (1 + parts) * channels): [sqrt(weight * parts) * unit global, unit stripes]."""

    name = "icnn"
    Sizes = ICNNSizes
    mini = MapNetwork.mini | {"parts": 4, "reduced": 64}

    def __init__(self, sizes: ICNNSizes) -> None:
        super().__init__(sizes)
        channels, classes = self.backbone.channels, sizes.num_classes
        self.local = StripeHeads(channels, sizes.parts, sizes.reduced, HeadForm(), True, "own", classes)
        self.classifier = nn.Linear(channels, classes) if classes else None
        self.feature_dim = (1 + sizes.parts) * channels

    def unused_at_test(self) -> tuple[str, ...]:
        return "local.", "classifier."

    def unused_in_training(self) -> tuple[str, ...]:
        return self.unused_at_test() if self.sizes.metric_only else ()

    def fused(self, whole: Tensor, stripes: Tensor) -> Tensor:
        """(B, C), (B, parts, C) -> (B, (1 + parts) * C)."""
        scale = (self.sizes.global_weight * self.sizes.parts) ** 0.5
        return torch.cat([scale * normalize(whole), normalize(stripes, dim=2).flatten(1)], dim=1)

    def branches(self, inputs: Inputs) -> list[Branch]:
        """The global feature with its scores; the stripes' scores, each with its share of one."""
        maps = self.backbone(inputs.pictures)
        whole, stripes = maps.mean((2, 3)), stripe_means(maps, self.sizes.parts)
        if self.sizes.metric_only:
            return [Branch(self.fused(whole, stripes))]
        if self.classifier is None:
            return [Branch(whole)]
        first = Branch(whole, class_scores(nn.Identity(), self.classifier, whole))
        return [first, *(Branch(scores=own, weight=1 / self.sizes.parts) for own in self.local.scores(stripes))]

    def explain(self, inputs: Inputs) -> list[Look]:
        """The stripes, and the energy of the map."""
        maps, parts = self.backbone(inputs.pictures), self.sizes.parts
        stripes = stripe_shares(*maps.shape[2:], parts)
        return [PartLook("Stripes", stripes, numbered("stripe", parts)), energy_look(maps[0])]

    def forward(self, pictures: Tensor) -> Tensor:
        maps = self.backbone(pictures)
        return self.fused(maps.mean((2, 3)), stripe_means(maps, self.sizes.parts))


NETWORK = ICNN


def build(weights: str | Path | None, preset: str) -> Extractor:
    return build_from_file(ICNN, weights, preset)
