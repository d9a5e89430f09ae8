"""SCPNet (Fan et al., ACCV 2018): groups of channels learn what stripes of the picture look like.

Sizes, names and preprocessing are those of the author's re-implementation; its released weights are unknown.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count, takewhile
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout

from pose2id.errors import UserError

from .base import IMAGENET_STD, Extractor, Preprocessing
from .blocks.heads import class_scores
from .blocks.map_network import BACKBONE, MapNetwork, MapSizes, renamed
from .blocks.stripe_heads import stripe_means
from .files import build_from_file, build_from_tensors
from .looks import Look, energy_look, numbered
from .reid_network import Branch, Inputs

MEAN = (0.486, 0.459, 0.408)
DROPOUT = 0.75  # before the classifiers
OURS = (BACKBONE, "convolutions.", "norms.", "classifiers.")


@dataclass(frozen=True)
class SCPNetSizes(MapSizes):
    """groups: the paper's R, of channels and of stripes."""

    last_stride: int = 2
    groups: int = 4


class SCPNet(MapNetwork):
    """(B, 3, H, W) -> (B, groups * channels): the groups' means over the map, not normalised."""

    name = "scpnet"
    Sizes = SCPNetSizes

    def __init__(self, sizes: SCPNetSizes) -> None:
        super().__init__(sizes)
        if sizes.groups < 1:
            raise UserError(f"groups must be at least 1, got {sizes.groups}")
        channels, classes, groups = self.backbone.channels, sizes.num_classes, range(sizes.groups)
        self.feature_dim = sizes.groups * channels
        self.convolutions = nn.ModuleList(nn.Conv2d(channels, channels, 1) for _ in groups)
        self.norms = nn.ModuleList(nn.BatchNorm2d(channels) for _ in groups)
        self.classifiers = nn.ModuleList(nn.Linear(channels, classes) for _ in (groups if classes else ()))

    @classmethod
    def recognise(cls, tensors: Mapping[str, Tensor], preset: str, path: str | Path) -> SCPNetSizes:
        groups = sum(1 for _ in takewhile(lambda number: f"conv_pool{number}.weight" in tensors, count(1)))
        if not groups:
            raise UserError(f"{path} does not fit: it lacks conv_pool1.weight; use a file of SCPNet")
        return SCPNetSizes(groups=groups)

    def _prefixes(self) -> dict[str, str]:
        """Their prefixes -> ours; the backbone has none."""
        templates = {"conv_pool{}.": "convolutions.{}.", "conv_bn{}.": "norms.{}.", "fc_cls{}.": "classifiers.{}."}
        numbers = range(self.sizes.groups)
        return {theirs.format(i + 1): ours.format(i) for theirs, ours in templates.items() for i in numbers}

    def from_official(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        named = renamed(tensors, self._prefixes())
        return {name if name.startswith(OURS) else BACKBONE + name: tensor for name, tensor in named.items()}

    def to_official(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return renamed(tensors, {ours: theirs for theirs, ours in self._prefixes().items()} | {BACKBONE: ""})

    def preprocessing(self) -> Preprocessing:
        return Preprocessing(self.sizes.height, self.sizes.width, "cv2_bilinear", MEAN, IMAGENET_STD)

    def unused_at_test(self) -> tuple[str, ...]:
        """`conv_feature` lies in the author's files and is used nowhere."""
        return "classifiers.", "backbone.conv_feature."

    def groups_of(self, maps: Tensor) -> list[Tensor]:
        """The last map (B, C, h, w) -> the feature (B, C) of each group."""
        return [own.mean((2, 3)) for own in self.maps_of(maps)]

    def maps_of(self, maps: Tensor) -> list[Tensor]:
        """The last map (B, C, h, w) -> that of each group, of the same size."""
        return [norm(convolution(maps)) for convolution, norm in zip(self.convolutions, self.norms, strict=True)]

    def explain(self, inputs: Inputs) -> list[Look]:
        """Where each group of channels answers."""
        maps = self.backbone(inputs.pictures)
        groups, names = torch.cat(self.maps_of(maps)), numbered("group", self.sizes.groups)
        return [energy_look(groups, names, "Energy of the groups of channels"), energy_look(maps[0])]

    def rows(self, maps: Tensor) -> Tensor:
        """The last map (B, C, h, w) -> (B, groups, C): its stripes, which the groups approach in training."""
        return stripe_means(maps, self.sizes.groups)

    def scores(self, features: list[Tensor]) -> list[Tensor]:
        """Of each group (B, C) -> (B, classes)."""
        pairs = zip(self.classifiers, features, strict=True)
        return [class_scores(nn.Identity(), own, dropout(f, DROPOUT, self.training)) for own, f in pairs]

    def branches(self, inputs: Inputs) -> list[Branch]:
        """One a group; no gradient flows to its stripe, so that only the group learns from it."""
        maps = self.backbone(inputs.pictures)
        features, targets = self.groups_of(maps), self.rows(maps).detach().unbind(1)
        scores = self.scores(features) if self.classifiers else [None] * len(features)
        return [Branch(f, s, target=t) for f, s, t in zip(features, scores, targets, strict=True)]

    def forward(self, pictures: Tensor) -> Tensor:
        return torch.cat(self.groups_of(self.backbone(pictures)), dim=1)


NETWORK = SCPNet


def build(weights: str | Path | None, preset: str) -> Extractor:
    return build_from_file(SCPNet, weights, preset)


def from_tensors(tensors: Mapping[str, Tensor], path: str | Path) -> Extractor:
    """SCPNet with official `tensors`, which came from `path`."""
    return build_from_tensors(SCPNet, tensors, path)
