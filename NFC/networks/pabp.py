"""PABP, part-aligned bilinear pooling (Suh et al., ECCV 2018): what is seen, times where the parts of the body are.

Names of the modules are those of the authors' checkpoints, but for `from_official`. The pose network is a part of the
model and learns with it; the test needs no keypoints. Other dialects say what its part maps are worth: the same
appearance with maps that are drawn from keypoints (which the test needs then, too), and with one that is 1 everywhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from pose2id.errors import UserError

from .base import Extractor, Preprocessing
from .blocks.bilinear import CompactBilinear, bilinear
from .blocks.googlenet import CaffeGoogLeNet
from .blocks.map_network import renamed
from .blocks.pose_stages import PoseStages
from .body.heat_maps import smooth_maps
from .body.inputs import BodyInputs
from .body.points import POINTS, nobody, present
from .files import build_from_file, build_from_tensors
from .looks import Look, MapLook, energy, energy_look
from .reid_network import Branch, Inputs, ReIDNetwork

CAFFE_MEAN = (104 / 255, 117 / 255, 123 / 255)  # BGR
PIXEL = (1 / 255,) * 3  # values stay as large as those of the pixels
APPEARANCE, PARTS = "backbone.", "parts."
# Dialect -> prefixes of the authors' names, and ours.
PREFIXES = {
    "pabp": {"app_state_dict.": APPEARANCE, "part_state_dict.": PARTS},
    "drawn": {"app_state_dict.": APPEARANCE},
    "uniform": {"app_state_dict.": APPEARANCE},
    "mean": {"": APPEARANCE},
}
STRIDE = 8  # pixels to a place of the maps
DEVIATION = 1.0  # of drawn heat maps, in places of the map
TOLD_BY = "input_feat.weight"


@dataclass(frozen=True)
class PABPSizes:
    """appearance, part: channels of the two maps; features: numbers of the feature. thin: divides all other channels.

    exact_norm: local response normalisation as Caffe has it, see `blocks.googlenet.CrossMapNorm`.
    dialect: "pabp"; "mean", the authors' GoogLeNet alone with mean pooling, which they compare with; ours, "drawn",
    heat maps of 18 keypoints for part maps, and "uniform", a part map of ones, which is mean pooling.
    """

    height: int = 160
    width: int = 80
    appearance: int = 512
    part: int = 128
    features: int = 512
    thin: int = 1
    exact_norm: bool = False
    dialect: str = "pabp"
    num_classes: int = 0


class Appearance(CaffeGoogLeNet):
    """(B, 3, H, W) -> (B, appearance, H / 8, W / 8)."""

    def __init__(self, channels: int, thin: int, exact: bool) -> None:
        super().__init__("4e", dilated=True, thin=thin, exact=exact)
        self.input_feat = nn.Conv2d(self.channels, channels, 1)
        self.bn = nn.BatchNorm2d(channels, affine=False)

    def forward(self, pictures: Tensor) -> Tensor:
        return self.bn(self.input_feat(super().forward(pictures)))


class Parts(PoseStages):
    """(B, 3, H, W) -> (B, part, H / 8, W / 8); learnt, so it needs no points."""

    def __init__(self, sizes: PABPSizes) -> None:
        super().__init__(sizes.thin)
        self.pose1 = nn.Conv2d(self.channels, sizes.part, 3, padding=1)
        self.bn = nn.BatchNorm2d(sizes.part, affine=False)
        self.parts = sizes.part

    def forward(self, pictures: Tensor, points: Tensor | None = None) -> Tensor:
        return self.bn(self.pose1(super().forward(pictures)))


def map_size(pictures: Tensor) -> tuple[int, int]:
    return -(-pictures.shape[2] // STRIDE), -(-pictures.shape[3] // STRIDE)


class DrawnParts(nn.Module):
    """The same from points (B, 18, 3) in pixels of the pictures: (B, 18, H / 8, W / 8), and ones where nobody is."""

    def __init__(self, sizes: PABPSizes) -> None:
        super().__init__()
        self.parts = POINTS

    def forward(self, pictures: Tensor, points: Tensor | None = None) -> Tensor:
        size = map_size(pictures)
        points = nobody(len(pictures), pictures) if points is None else points
        maps = smooth_maps(points, size, STRIDE, DEVIATION).to(pictures.dtype)
        return torch.where(present(points)[..., 2].any(1)[:, None, None, None], maps, torch.ones_like(maps))


class UniformParts(nn.Module):
    """One part map (B, 1, H / 8, W / 8) of ones."""

    def __init__(self, sizes: PABPSizes) -> None:
        super().__init__()
        self.parts = 1

    def forward(self, pictures: Tensor, points: Tensor | None = None) -> Tensor:
        return pictures.new_ones(len(pictures), 1, *map_size(pictures))


PART_MAPS = {"pabp": Parts, "drawn": DrawnParts, "uniform": UniformParts}


class MeanAppearance(CaffeGoogLeNet):
    """(B, 3, H, W) -> (B, features): the mean over the map of the last block, projected."""

    def __init__(self, features: int, thin: int, exact: bool) -> None:
        super().__init__("5b", dilated=False, thin=thin, exact=exact)
        self.input_feat = nn.Conv2d(self.channels, features, 1)

    def last_map(self, pictures: Tensor) -> Tensor:
        return super().forward(pictures)

    def forward(self, pictures: Tensor) -> Tensor:
        return self.input_feat(self.last_map(pictures).mean((2, 3), keepdim=True)).flatten(1)


class PABP(ReIDNetwork):
    """(B, 3, H, W) -> (B, features) of unit length, compared by Euclidean distance."""

    name = "pabp"
    Sizes = PABPSizes
    mini: ClassVar = {"height": 64, "width": 32, "appearance": 64, "part": 32, "features": 128, "thin": 4}

    def __init__(self, sizes: PABPSizes) -> None:
        super().__init__(sizes)
        if sizes.dialect not in PREFIXES:
            raise UserError(f"pabp: unknown dialect '{sizes.dialect}'; choose one of: {', '.join(PREFIXES)}")
        self.feature_dim = sizes.features
        if sizes.dialect == "mean":
            self.backbone, self.parts = MeanAppearance(sizes.features, sizes.thin, sizes.exact_norm), None
            return
        self.backbone = Appearance(sizes.appearance, sizes.thin, sizes.exact_norm)
        self.parts = PART_MAPS[sizes.dialect](sizes)
        self.compact = CompactBilinear(sizes.appearance, self.parts.parts, sizes.features)

    def training_inputs(self) -> BodyInputs:
        """Points, where the part maps are drawn."""
        return BodyInputs(("points",) if self.sizes.dialect == "drawn" else ())

    def test_inputs(self) -> BodyInputs:
        return self.training_inputs()

    @classmethod
    def recognise(cls, tensors: Mapping[str, Tensor], preset: str, path: str | Path) -> PABPSizes:
        """The dialect is told by names, the channels of the maps by shapes."""
        if TOLD_BY in tensors:
            return PABPSizes(dialect="mean", features=len(tensors[TOLD_BY]))
        wanted = [prefix + name for prefix, name in zip(PREFIXES["pabp"], (TOLD_BY, "pose1.weight"), strict=True)]
        if any(name not in tensors for name in wanted):
            raise UserError(f"{path} does not fit: it lacks {' or '.join(wanted)}; use a file of PABP")
        return PABPSizes(appearance=len(tensors[wanted[0]]), part=len(tensors[wanted[1]]))

    def from_official(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The authors' files hold one dictionary a stream, whose names may begin with `module.`."""
        prefixes = PREFIXES[self.sizes.dialect]
        return renamed(tensors, {f"{name}module.": ours for name, ours in prefixes.items()} | prefixes)

    def to_official(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return renamed(tensors, {ours: official for official, ours in PREFIXES[self.sizes.dialect].items()})

    def preprocessing(self) -> Preprocessing:
        size = self.sizes
        return Preprocessing(size.height, size.width, "bilinear", CAFFE_MEAN, PIXEL, channel_order="bgr")

    def branches(self, inputs: Inputs) -> list[Branch]:
        """The feature, for a loss that compares pictures; there is no classifier."""
        return [Branch(self(inputs.pictures, inputs.points))]

    def explain(self, inputs: Inputs) -> list[Look]:
        """How strongly appearance and parts answer, and their product: how much a place counts in the feature."""
        if self.parts is None:
            return [energy_look(self.backbone.last_map(inputs.pictures)[0])]
        streams = [energy(self.backbone(inputs.pictures)[0]), energy(self.parts(inputs.pictures, inputs.points)[0])]
        maps = torch.stack([*streams, streams[0] * streams[1]])
        return [MapLook("Energy of the maps", maps, ["appearance", "parts", "product"])]

    def forward(self, pictures: Tensor, points: Tensor | None = None) -> Tensor:
        if self.parts is None:
            return normalize(self.backbone(pictures))
        products = bilinear(self.backbone(pictures), self.parts(pictures, points))
        return normalize(self.compact(products))


NETWORK = PABP


def build(weights: str | Path | None, preset: str) -> Extractor:
    """PABP of the dialect of the file."""
    return build_from_file(PABP, weights, preset)


def from_tensors(tensors: Mapping[str, Tensor], path: str | Path) -> Extractor:
    """PABP with official `tensors`, which came from `path`; those of two dictionaries have their keys before them."""
    return build_from_tensors(PABP, tensors, path)
