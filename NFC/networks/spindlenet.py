"""Spindle Net (Zhao et al., CVPR 2017): the picture and seven regions of the body, fused by a tree of maxima.

Architecture and regions: the authors' code. The large regions are pooled from an early map and described by own copies
of the blocks behind it, the small ones from a later one. Issue 7 of their repository: a user has the base network
alone at 79.4 % on Market1501, above the published whole (76.9 %); so a small gain is to be expected.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn
from torchvision.ops import roi_pool

from pose2id.errors import UserError

from .base import Extractor
from .blocks.body_network import BodyNetwork, of_caffe
from .blocks.heads import class_scores
from .blocks.inception import Mixed, Plain, Trunk, scaled
from .body.points import resized
from .body.regions import LARGE, SMALL, spindle_boxes
from .files import build_from_file
from .looks import BoxLook, Look, shares_of
from .reid_network import Branch, Inputs

STEM = {
    "conv1": Plain(32, 3),
    "conv2": Plain(32, 3),
    "conv3": Plain(64, 3, pool=2),
    "inception_1a": Mixed(64, 64, 64, 64, 64, 64),
    "inception_1b": Mixed(0, 64, 64, 64, 64, 0, kernels=(3, 1)),
}
MIDDLE = {"inception_2a": Mixed(128, 128, 128, 128, 128, 128), "inception_2b": Mixed(0, 128, 128, 128, 128, 0)}
UPPER = {"inception_3a": Mixed(256, 256, 256, 256, 256, 256), "inception_3b": Mixed(0, 256, 256, 256, 256, 0)}
# The authors' name of a part of a block, and ours.
PARTS = (("double_3x3_reduce", "double3x3_reduce"), ("double_3x3_1", "double3x3a"), ("double_3x3_2", "double3x3b"))
NAMES = ("head", "body", "legs", "right arm", "left arm", "right leg", "left leg")  # of the regions
FUSED = ("legs", "arms", "part_1", "part_2", "parts_all")
FIRST = "inception_3b/3x3/body.weight"


@dataclass(frozen=True)
class SpindleSizes:
    """height, width: multiples of 16; channels: factor of the official widths; dim: of the feature and the tree.

    dropout: in front of the classifiers. parts: without, the feature is that of the base network, for comparison.
    """

    height: int = 96
    width: int = 96
    channels: float = 1.0
    dim: int = 256
    dropout: float = 0.7
    parts: bool = True
    num_classes: int = 0

    def __post_init__(self) -> None:
        if self.height % 16 or self.width % 16:
            raise UserError("spindlenet needs height and width that are multiples of 16")


class Region(nn.Module):
    """`trunk` and fc7: a map -> (B, dim)."""

    def __init__(self, trunk: Trunk, dim: int) -> None:
        super().__init__()
        self.trunk = trunk
        self.fc7, self.bn = nn.Linear(trunk.channels, dim), nn.BatchNorm1d(dim)

    def forward(self, maps: Tensor) -> Tensor:
        return self.bn(self.fc7(self.trunk(maps).mean((2, 3))))


class Base(Region):
    """The same with a middle map, from which small regions are pooled."""

    def __init__(self, middle: Trunk, upper: Trunk, dim: int) -> None:
        super().__init__(upper, dim)
        self.middle = middle


class SpindleNet(BodyNetwork):
    """(B, 3, 96, 96) with points -> (B, 256), the authors' `fc7/spindle`."""

    name = "spindlenet"
    Sizes = SpindleSizes
    mini: ClassVar = {"height": 48, "width": 48, "channels": 0.25, "dim": 128, "dropout": 0.0}
    means = (103.939, 116.779, 123.68)
    people = "(?!)"  # their classifier is not in test files

    def __init__(self, sizes: SpindleSizes) -> None:
        super().__init__(sizes)
        stem, middle, upper = (scaled(path, sizes.channels) for path in (STEM, MIDDLE, UPPER))
        dim = self.feature_dim = sizes.dim
        self.backbone = Trunk(stem, 3)
        early = self.backbone.channels
        middle_map = Trunk(middle, early)
        later = middle_map.channels
        self.base = Base(middle_map, Trunk(upper, later), dim)
        self.dropout = nn.Dropout(sizes.dropout)
        self.regions, trained = nn.ModuleDict(), ["base"]
        if sizes.parts:
            large = {name: Region(Trunk(middle | upper, early), dim) for name in LARGE}
            self.regions.update(large | {name: Region(Trunk(upper, later), dim) for name in SMALL})
            self.fusion = nn.ModuleDict({name: nn.Linear(dim, dim) for name in FUSED})
            self.spindle = nn.Linear(2 * dim, dim)
            trained = ["spindle", "base", *self.regions]
        trained = trained if sizes.num_classes else []
        self.classifiers = nn.ModuleDict({name: nn.Linear(dim, sizes.num_classes) for name in trained})

    @classmethod
    def recognise(cls, tensors: Mapping[str, Tensor], preset: str, path: str | Path) -> SpindleSizes:
        if FIRST not in tensors:
            raise UserError(f"{path} does not fit: it lacks {FIRST}; use a file of Spindle Net")
        return SpindleSizes()

    def official_name(self, name: str) -> str:
        kind, *rest = name.split(".")
        if kind == "classifiers":
            return name
        if kind == "spindle":
            return f"fc7/spindle.{rest[0]}"
        if kind == "fusion":
            return f"fc_{rest[0]}.{rest[1]}"
        region = ""
        if kind == "regions":
            region, *rest = f"/{rest[0]}", *rest[1:]
        *_, layer, field = rest
        if layer == "fc7":
            return f"fc7{region}.{field}"
        for theirs, ours in PARTS:
            layer = layer.replace(ours, theirs)
        if "convolutions" in rest:
            return f"{layer}{region}.{field}"
        return of_caffe("fc7" if layer == "bn" else layer, field, "{}_bn" + region, "{}_scale" + region)

    def unused_at_test(self) -> tuple[str, ...]:
        return ("classifiers.",)

    @property
    def whole(self) -> str:
        """Which of `described` is the test feature."""
        return "spindle" if self.sizes.parts else "base"

    def boxes(self, pictures: Tensor, points: Tensor | None) -> Tensor:
        """(B, 7, 4) in pixels of the pictures; squares are those of a picture twice as high as wide (ours)."""
        size = pictures.shape[2], pictures.shape[3]
        upright = size[0], size[0] / 2
        boxes = spindle_boxes(resized(self.known(pictures, points), size, upright), upright)
        return boxes * boxes.new_tensor([size[1] / upright[1], 1.0] * 2)

    def described(self, pictures: Tensor, boxes: Tensor) -> dict[str, Tensor]:
        """The picture ("base"), each region and each step of the tree, (B, dim), of boxes (B, 7, 4) in its pixels."""
        early = self.backbone(pictures)
        later = self.base.middle(early)
        found = {"base": self.base(later)}
        if not self.sizes.parts:
            return found
        for number, (name, region) in enumerate(self.regions.items()):
            maps = early if name in LARGE else later
            shape = maps.shape[2], maps.shape[3]
            own = list(boxes[:, number, None].float().unbind())
            found[name] = region(roi_pool(maps.float(), own, shape, shape[0] / pictures.shape[2]))
        fused = self.fusion
        found["legs"] = fused["legs"](found["lleg"].maximum(found["rleg"]))
        found["arms"] = fused["arms"](found["larm"].maximum(found["rarm"]))
        found["part_1"] = fused["part_1"](found["leg"].maximum(found["legs"]))
        found["part_2"] = fused["part_2"](found["body"].maximum(found["arms"]))
        both = found["part_1"].maximum(found["part_2"])
        found["parts_all"] = fused["parts_all"](found["head"].maximum(both))
        found["spindle"] = self.spindle(torch.cat([found["base"], found["parts_all"]], dim=1))
        return found

    def last_map(self, pictures: Tensor) -> Tensor:
        return self.base.trunk(self.base.middle(self.backbone(pictures)))

    def explain(self, inputs: Inputs) -> list[Look]:
        """Beside what any network of a body shows, the seven regions."""
        boxes = shares_of(self.boxes(inputs.pictures, inputs.points)[0], inputs.pictures)
        return [*super().explain(inputs), BoxLook("Regions", boxes, NAMES)]

    def branches(self, inputs: Inputs) -> list[Branch]:
        """The feature, then the base network and each region, by scores alone.

        The authors train base, regions and fusion one after the other; all at once is ours.
        """
        found = self.described(inputs.pictures, self.boxes(inputs.pictures, inputs.points))
        feature = found[self.whole]
        if not self.classifiers:
            return [Branch(feature)]
        scores = {name: class_scores(self.dropout, own, found[name]) for name, own in self.classifiers.items()}
        first, *others = scores.values()
        return [Branch(feature, first), *(Branch(scores=own) for own in others)]

    def forward(self, pictures: Tensor, points: Tensor | None = None) -> Tensor:
        return self.described(pictures, self.boxes(pictures, points))[self.whole]


NETWORK = SpindleNet


def build(weights: str | Path | None, preset: str) -> Extractor:
    return build_from_file(SpindleNet, weights, preset)
