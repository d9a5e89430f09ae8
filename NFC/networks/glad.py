"""GLAD, global-local-alignment descriptor (Wei et al., ACM MM 2017): the picture, head, upper and lower body.

Four streams share their convolutions. Architecture: a copy of the authors' code. The regions' cuts: `body.regions`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from pose2id.errors import UserError

from .base import Extractor
from .blocks.body_network import BodyNetwork, of_caffe
from .blocks.inception import SharedInception
from .body.quads import pixels, sample
from .body.regions import glad_boxes
from .files import build_from_file
from .looks import BoxLook, Look, shares_of
from .reid_network import Branch, Inputs

STREAMS = ("layer1/", "layer2/", "layer3/", "")  # the authors' prefixes: head, upper body, lower body, picture
WEIGHTS = (0.25, 0.4, 0.35, 1.0)  # of their losses
NAMES = ("head", "upper body", "lower body")
REGIONS = ((96, 96), (192, 256), (224, 256))  # height and width, of pictures of 512 x 256
HEIGHT, WIDTH, STRIDE = 512, 256, 32
FIRST = "layer/conv1/7x7_s2"
FEATURES = {"normalised": 2, "before": 1}  # where the descriptor is taken, and the norm each region is divided by


@dataclass(frozen=True)
class GLADSizes:
    """height: a multiple of 128, twice `width`; channels: factor of the official widths; short: with fewer blocks.

    dim: of a region. feature: "normalised", behind batch normalisation and ReLU, each region of unit L2 norm (ours); or
    "before" them and of unit L1 norm, as the authors' README says, but for its weights, which are nowhere. overlap: of
    512 rows, how many each region reaches over a cut.
    """

    height: int = HEIGHT
    width: int = WIDTH
    channels: float = 1.0
    short: bool = False
    dim: int = 1024
    feature: str = "normalised"
    overlap: float = 0.0
    num_classes: int = 0

    def __post_init__(self) -> None:
        if self.height % 128 or self.height != 2 * self.width:
            raise UserError("glad needs a height that is a multiple of 128 and twice the width")
        if self.feature not in FEATURES:
            raise UserError(f"unknown feature '{self.feature}' of glad; choose one of: {', '.join(FEATURES)}")


class Head(nn.Module):
    """fc6 with its normalisation, and the classifier of a stream."""

    def __init__(self, channels: int, dim: int, num_classes: int) -> None:
        super().__init__()
        self.fc6, self.bn = nn.Conv2d(channels, dim, 1), nn.BatchNorm2d(dim)
        self.classifier = nn.Conv2d(dim, num_classes, 1) if num_classes else None

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, h, w) -> (B, dim, h, w) before and behind normalisation and ReLU."""
        before = self.fc6(maps)
        return before, self.bn(before).relu()

    def scores(self, behind: Tensor) -> Tensor:
        """(B, dim, h, w) -> (B, classes): the mean of the scores everywhere."""
        return self.classifier(behind.mean((2, 3), keepdim=True)).flatten(1)


class GLAD(BodyNetwork):
    """(B, 3, 512, 256) with points -> (B, 4096): picture, head, upper and lower body."""

    name = "glad"
    Sizes = GLADSizes
    mini: ClassVar = {"height": 128, "width": 64, "channels": 0.25, "short": True, "dim": 128}

    def __init__(self, sizes: GLADSizes) -> None:
        super().__init__(sizes)
        self.feature_dim = len(STREAMS) * sizes.dim
        self.backbone = SharedInception(len(STREAMS), sizes.channels, sizes.short)
        self.ends = nn.ModuleList(Head(self.backbone.channels, sizes.dim, sizes.num_classes) for _ in STREAMS)

    @classmethod
    def recognise(cls, tensors: Mapping[str, Tensor], preset: str, path: str | Path) -> GLADSizes:
        if FIRST not in tensors:
            raise UserError(f"{path} does not fit: it lacks {FIRST}; use a file of GLAD")
        return GLADSizes()

    def official_name(self, name: str) -> str:
        kind, *rest = name.removeprefix("backbone.").split(".")
        if kind == "convolutions":
            return f"layer/{rest[0]}"
        prefix = STREAMS[int(rest[0])]
        if kind == "streams":
            return prefix + of_caffe(rest[2], rest[3], "{}/bn", "{}/bn/sc")
        layer, field = rest[1:]
        if layer == "bn":
            return prefix + of_caffe("fc6", field, "{}/bn", "{}/bn/sc")
        return f"{prefix}{'fc6' if layer == 'fc6' else f'conv{self.sizes.num_classes}'}.{field}"

    def unused_at_test(self) -> tuple[str, ...]:
        names = ("classifier.", "bn.") if self.sizes.feature == "before" else ("classifier.",)
        own = (f"ends.{number}.{name}" for number in range(len(STREAMS)) for name in names)
        return *own, *(f"{prefix}people" for prefix in STREAMS)

    def boxes(self, pictures: Tensor, points: Tensor | None) -> Tensor:
        """(B, 3, 4) of head, upper and lower body in pixels of the pictures."""
        height, width = pictures.shape[2:]
        return glad_boxes(self.known(pictures, points), (height, width), self.sizes.overlap * height / HEIGHT)

    def last_map(self, pictures: Tensor) -> Tensor:
        return self.backbone(pictures, len(STREAMS) - 1)

    def explain(self, inputs: Inputs) -> list[Look]:
        """Beside what any network of a body shows, the three regions."""
        boxes = shares_of(self.boxes(inputs.pictures, inputs.points)[0], inputs.pictures)
        return [*super().explain(inputs), BoxLook("Regions", boxes, NAMES)]

    def regions(self, pictures: Tensor, points: Tensor | None) -> list[Tensor]:
        """Head, upper body, lower body and picture, resized bilinearly, (B, 3, h, w) of multiples of 32."""
        height, width = pictures.shape[2:]
        boxes = self.boxes(pictures, points)
        regions = []
        for number, size in enumerate(REGIONS):
            rows, columns = (-(-side * self.sizes.height // (HEIGHT * STRIDE)) * STRIDE for side in size)
            low, high = boxes[:, number, None].split(2, dim=-1)
            unit = (pixels(rows, columns, pictures.device) + 0.5) / boxes.new_tensor([columns, rows])
            places = (low + (high - low) * unit - 0.5).clamp(min=0).minimum(boxes.new_tensor([width - 1, height - 1]))
            regions.append(sample(pictures, places.unflatten(1, (rows, columns))))
        return [*regions, pictures]

    def maps(self, regions: list[Tensor]) -> list[tuple[Tensor, Tensor]]:
        """Of each region what its `Head` gives."""
        return [
            head(self.backbone(own, number)) for number, (head, own) in enumerate(zip(self.ends, regions, strict=True))
        ]

    def branches(self, inputs: Inputs) -> list[Branch]:
        """One a region; metric losses, which the authors do not use, see each region's mean."""
        behind = [own for _, own in self.maps(self.regions(inputs.pictures, inputs.points))]
        branches = [
            Branch(own.mean((2, 3)), head.scores(own) if head.classifier else None, weight)
            for own, head, weight in zip(behind, self.ends, WEIGHTS, strict=True)
        ]
        return branches[-1:] + branches[:-1]

    def forward(self, pictures: Tensor, points: Tensor | None = None) -> Tensor:
        behind = self.sizes.feature == "normalised"
        means = [own[int(behind)].mean((2, 3)).float() for own in self.maps(self.regions(pictures, points))]
        units = [normalize(mean, p=FEATURES[self.sizes.feature], dim=1) for mean in means]
        return torch.cat(units[-1:] + units[:-1], dim=1)


NETWORK = GLAD


def build(weights: str | Path | None, preset: str) -> Extractor:
    return build_from_file(GLAD, weights, preset)
