"""Foreground pooling: the mean over the places of the map where the person is, told by a mask.

The mask is drawn from 18 keypoints (Ma et al., "Disentangled Person Image Generation", CVPR 2018), who take a picture
apart by map x mask and map x (1 - mask). Ours: that a place of the map counts by the share of its pixels that are of
the mask, the test feature, and what becomes of a picture without a mask.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, normalize

from pose2id.errors import UserError

from .base import Extractor
from .blocks.heads import bn_neck, class_scores
from .blocks.map_network import MapNetwork, MapSizes
from .body.inputs import BodyInputs
from .body.masks import FRAME, mask_pooling, pose_mask
from .body.points import nobody, resized
from .files import build_from_file
from .looks import Look, PartLook
from .reid_network import Branch, Inputs

# From the shares of the mask (B, 1, h, w), how much each place of the map counts.
REGIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "foreground": lambda shares: shares,
    "background": lambda shares: 1 - shares,
    "global": torch.ones_like,
}
POOLINGS = {
    "foreground": ("foreground",),
    "foreground_and_background": ("foreground", "background"),
    "foreground_and_global": ("foreground", "global"),
    "mean": ("global",),
}


@dataclass(frozen=True)
class ForegroundSizes(MapSizes):
    """pooling: one of `POOLINGS`; "mean" looks at no mask, for comparison."""

    pooling: str = "foreground"

    def __post_init__(self) -> None:
        if self.pooling not in POOLINGS:
            raise UserError(f"foreground: unknown pooling '{self.pooling}'; choose one of: {', '.join(POOLINGS)}")


class Foreground(MapNetwork):
    """(B, 3, H, W) with points or label maps -> (B, regions x channels), each region of unit length."""

    name = "foreground"
    Sizes = ForegroundSizes

    def __init__(self, sizes: ForegroundSizes) -> None:
        super().__init__(sizes)
        self.regions = POOLINGS[sizes.pooling]
        channels = self.backbone.channels
        self.feature_dim = len(self.regions) * channels
        heads = self.regions if sizes.num_classes else ()
        self.bottleneck = nn.ModuleList(bn_neck(channels) for _ in heads)
        self.classifier = nn.ModuleList(nn.Linear(channels, sizes.num_classes, bias=False) for _ in heads)

    def training_inputs(self) -> BodyInputs:
        """Label maps, or points where there are none; neither for the pooling "mean"."""
        names = () if self.sizes.pooling == "mean" else ("points", "parsing")
        return BodyInputs(names, optional=names)

    def test_inputs(self) -> BodyInputs:
        return self.training_inputs()

    def unused_at_test(self) -> tuple[str, ...]:
        return "bottleneck.", "classifier."

    def shares(
        self, pictures: Tensor, size: tuple[int, int], points: Tensor | None = None, parsing: Tensor | None = None
    ) -> Tensor:
        """(B, 1, *size), how much of each place shows the person; 0 in a picture of which nothing is known.

        points: (B, 18, 3) in pixels of the pictures (B, 3, H, W). parsing: label maps (B, H, W) int64, 0 the background
        and -1 unknown; they take the place of the points in all pictures but those whose map is unknown everywhere.
        """
        points = nobody(len(pictures), pictures) if points is None else points
        drawn = pose_mask(resized(points, (pictures.shape[2], pictures.shape[3]), FRAME))
        shares = adaptive_avg_pool2d(drawn[:, None].float(), size)
        if parsing is None:
            return shares
        known = (parsing >= 0).flatten(1).any(1)[:, None, None, None]
        return torch.where(known, adaptive_avg_pool2d((parsing > 0)[:, None].float(), size), shares)

    def pooled(self, pictures: Tensor, points: Tensor | None = None, parsing: Tensor | None = None) -> Tensor:
        """(B, regions, channels): means over the map, weighted; of a region without a pixel, that of all places."""
        maps = self.backbone(pictures)
        shares = self.shares(pictures, (maps.shape[2], maps.shape[3]), points, parsing)
        weights = torch.cat([REGIONS[name](shares) for name in self.regions], 1)
        empty = weights.sum((2, 3), keepdim=True) <= 0
        return mask_pooling(maps, weights.masked_fill(empty, 1.0).to(maps.dtype))

    def explain(self, inputs: Inputs) -> list[Look]:
        """The mask, and the energy of the map that is pooled under it."""
        size = inputs.pictures.shape[2], inputs.pictures.shape[3]
        mask = self.shares(inputs.pictures, size, inputs.points, inputs.parsing)[0]
        return [PartLook("Mask of the person", mask, ["person"]), *super().explain(inputs)]

    def branches(self, inputs: Inputs) -> list[Branch]:
        """One a region, with neck and classifier of its own, and the same weight."""
        features = self.pooled(inputs.pictures, inputs.points, inputs.parsing).unbind(1)
        heads = zip(self.bottleneck, self.classifier, features, strict=False)
        scores = [class_scores(*head) for head in heads] or [None] * len(features)
        return [Branch(*own, 1 / len(features)) for own in zip(features, scores, strict=True)]

    def forward(self, pictures: Tensor, points: Tensor | None = None, parsing: Tensor | None = None) -> Tensor:
        return normalize(self.pooled(pictures, points, parsing), dim=2).flatten(1)


NETWORK = Foreground


def build(weights: str | Path | None, preset: str) -> Extractor:
    return build_from_file(Foreground, weights, preset)
