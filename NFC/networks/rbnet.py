"""RBNet (Yu and Piao, 2024), the supervised part: what a reverse backbone learns of the pose masks a second look.

No code of its authors was found, and the paper contradicts itself in places; docs/body_features.md says how these are
resolved here. The test needs no pose model.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from pose2id.errors import UserError
from pose2id.settings.ranges import Range, check_ranges

from .base import Extractor
from .blocks.heads import bn_neck, class_scores
from .blocks.map_network import MapNetwork, MapSizes
from .blocks.reverse_backbone import ReverseBackbone, drawn_mask, heat_map_loss
from .body.inputs import BodyInputs
from .body.masks import masked_pictures
from .body.points import COCO_NAMES
from .files import build_from_file
from .looks import Look, MapLook, PictureLook
from .reid_network import Branch, Inputs, Stage


@dataclass(frozen=True)
class RBNetSizes(MapSizes):
    """masked: the test feature is that of the second look; else, for comparison, of the first, the only one trained.

    heat_weight: of the loss of the heat maps, whose targets count 1 + heat_peak x target; 0 for none. heat_stride:
    pixels of the picture to one of the targets; heat_deviation: of their peaks, in their pixels. detached: no gradient
    of the reverse backbone reaches the backbone; the second look's does. drawn: the mask is drawn from the heat maps
    that it makes, instead of learnt (ours), see `drawn_mask`.
    """

    masked: bool = True
    drawn: bool = False
    heat_weight: float = 1.0
    heat_peak: float = 20.0
    heat_stride: int = 4
    heat_deviation: float = 2.0
    detached: bool = True

    def __post_init__(self) -> None:
        check_ranges(self, {"heat_stride": Range(1, 64), "heat_deviation": Range(0.1, 100)}, "rbnet")


class Looks(NamedTuple):
    """features (B, d) of both looks; heat_maps (B, 17, H / 2, W / 2)."""

    first: Tensor
    second: Tensor
    heat_maps: Tensor


class RBNet(MapNetwork):
    """(B, 3, H, W) -> (B, channels) of unit length; two passes of one backbone."""

    name = "rbnet"
    Sizes = RBNetSizes
    mini: ClassVar = {**MapNetwork.mini, "heat_stride": 2, "heat_deviation": 1.0}
    BACKBONE = Stage("backbone", ("backbone.", "bottleneck.", "classifier."))
    REVERSE = Stage("reverse", ("reverse.",))
    BOTH = Stage("both")
    MASK, HEAT_MAPS = ("reverse.parts.", "reverse.gain"), ("reverse.heat.", "reverse.change.0.")
    stages = BACKBONE, REVERSE, BOTH

    def __init__(self, sizes: RBNetSizes) -> None:
        super().__init__(sizes)
        self.feature_dim = self.backbone.channels
        self.reverse = ReverseBackbone(self.backbone.levels)
        self.bottleneck = bn_neck(self.feature_dim)
        self.classifier = nn.Linear(self.feature_dim, sizes.num_classes, bias=False) if sizes.num_classes else None
        self.stage = self.BOTH

    def enter(self, stage: Stage) -> None:
        self.stage = stage

    def training_inputs(self) -> BodyInputs:
        """Heat maps, which the reverse backbone learns; with `heat_weight` 0 the branches alone teach it."""
        names = ("heat_maps",) if self.sizes.heat_weight else ()
        return BodyInputs(names, stride=self.sizes.heat_stride, deviation=self.sizes.heat_deviation)

    def unused_at_test(self) -> tuple[str, ...]:
        """Without the mask, all of the reverse backbone; with it, what makes heat maps, or the mask that is learnt."""
        reverse = (self.MASK if self.sizes.drawn else self.HEAT_MAPS) if self.sizes.masked else ("reverse.",)
        return "bottleneck.", "classifier.", *reverse

    def unused_in_training(self) -> tuple[str, ...]:
        """The mask that is learnt, where the second look has another one or is not trained."""
        return self.MASK if self.sizes.drawn or not self.sizes.masked else ()

    def heads(self) -> tuple[str, ...]:
        """What makes heat maps stays in files, to be looked at."""
        return "bottleneck.", "classifier."

    def of_one_data_set(self) -> tuple[str, ...]:
        """A run can start from a file without the heads of the first two stages."""
        return "bottleneck.", "classifier.", "reverse."

    @property
    def looks_twice(self) -> bool:
        """Whether the second look is trained, in this stage."""
        return self.sizes.masked and self.stage == self.BOTH

    def masks(self, maps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Maps of the backbone -> mask (B, 1, h, w) of the second look, and heat maps (B, 17, H / 2, W / 2)."""
        mask, heat_maps = self.reverse(maps)
        return (drawn_mask(heat_maps.detach()) if self.sizes.drawn else mask), heat_maps

    def look(self, pictures: Tensor) -> Looks:
        maps = self.backbone.maps(pictures)
        mask, heat_maps = self.masks([level.detach() for level in maps] if self.sizes.detached else maps)
        second = self.backbone(masked_pictures(pictures, mask.to(pictures.dtype)))
        return Looks(maps[-1].mean((2, 3)), second.mean((2, 3)), heat_maps)

    def branches(self, inputs: Inputs) -> list[Branch]:
        """Both looks, with the same neck and classifier; in the first two stages the first alone."""
        if not self.looks_twice:
            return [self._branch(self.backbone(inputs.pictures).mean((2, 3)))]
        looks = self.look(inputs.pictures)
        return [self._branch(looks.first), self._branch(looks.second)]

    def outputs(self, inputs: Inputs, labels: Tensor) -> tuple[list[Branch], dict[str, Tensor]]:
        """The branches, and "heat_maps", where there are targets; without these the mask learns by the branches alone.

        In the stage "reverse" targets have to be there, or it raises `UserError`.
        """
        if self.stage == self.BACKBONE:
            return self.branches(inputs), {}
        if inputs.heat_maps is None:
            if self.stage == self.REVERSE:
                raise UserError("rbnet: the stage 'reverse' learns heat maps, but the batches have none: leave it out")
            return self.branches(inputs), {}
        looks = self.look(inputs.pictures)
        with torch.autocast(labels.device.type, enabled=False):
            lacking = heat_map_loss(looks.heat_maps.float(), inputs.heat_maps, self.sizes.heat_peak)
        features = [looks.first, looks.second] if self.looks_twice else [looks.first]
        return [self._branch(feature) for feature in features], {"heat_maps": self.sizes.heat_weight * lacking}

    def _branch(self, features: Tensor) -> Branch:
        scores = class_scores(self.bottleneck, self.classifier, features) if self.classifier else None
        return Branch(features, scores)

    def explain(self, inputs: Inputs) -> list[Look]:
        """The mask and the picture of the second look, heat maps of the joints where the file has them, the energy."""
        looks = super().explain(inputs)
        if not self.sizes.masked:
            return looks
        mask, heat_maps = self.masks(self.backbone.maps(inputs.pictures))
        second = masked_pictures(inputs.pictures, mask)
        made = [
            MapLook("Mask of the second look, 1 for no change", mask[0], ["mask"], full=2.0),
            PictureLook("Picture of the second look", second, ["masked"]),
        ]
        if not any(name.startswith("reverse.heat.") for name in self.lacking):
            made.append(MapLook("Heat maps of the joints", heat_maps[0].clamp(min=0), COCO_NAMES))
        return [*made, *looks]

    def forward(self, pictures: Tensor) -> Tensor:
        maps = self.backbone.maps(pictures)
        if not self.sizes.masked:
            return normalize(maps[-1].mean((2, 3)))
        mask, _ = self.masks(maps) if self.sizes.drawn else self.reverse.mask(maps)
        return normalize(self.backbone(masked_pictures(pictures, mask.to(pictures.dtype))).mean((2, 3)))


NETWORK = RBNet


def build(weights: str | Path | None, preset: str) -> Extractor:
    return build_from_file(RBNet, weights, preset)
