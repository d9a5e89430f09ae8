"""PDC, pose-driven deep convolutional model (Su et al., ICCV 2017): the picture beside its upright parts.

Parts are cut by the points (`body.upright_parts`), moved by a pose transformer network, and described by a stream that
shares most convolutions with the picture's; a weight for each number of the parts joins both. Architecture: the
authors' code.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from pose2id.errors import UserError

from .base import Extractor
from .blocks.body_network import BodyNetwork, of_caffe
from .blocks.inception import SharedInception
from .body.transformer import IDENTITY, transformed
from .body.upright_parts import part_picture
from .files import build_from_file
from .looks import Look, PictureLook
from .reid_network import Branch, Inputs

ROWS = 128  # of the pictures that locate a transform
# The authors' names of the moved parts: row, column, height and width in the picture of parts, of 512 x 256.
MOVED = {
    "arm1": (0, 0, 256, 64),
    "arm2": (0, 192, 256, 64),
    "leg1": (256, 0, 256, 64),
    "leg2": (256, 192, 256, 64),
    "body": (128, 64, 256, 128),
}
STREAMS = ("", "_part1")  # the authors' suffixes: picture, parts
MISSPELT = "inception_4d/double3x3b/bn/sc_part1", "inception_4d/double3x3b/bn/s_part1c"  # in their file
FIRST = "conv1/7x7_s2_w"


@dataclass(frozen=True)
class PDCSizes:
    """height: a multiple of 128, twice `width`; channels: factor of the official widths; short: with fewer blocks.

    For comparison: without `moved`, PTN leaves parts where they are; without `weighted`, FWN is a concatenation.
    """

    height: int = 512
    width: int = 256
    channels: float = 1.0
    short: bool = False
    moved: bool = True
    weighted: bool = True
    num_classes: int = 0

    def __post_init__(self) -> None:
        if self.height % ROWS or self.height != 2 * self.width:
            raise UserError(f"pdc needs a height that is a multiple of {ROWS} and twice the width")


class PoseTransformer(nn.Module):
    """PTN of one part, (B, 3, h, w) -> theta (B, 6); the identity before it is trained."""

    def __init__(self, height: int, width: int, pool: int) -> None:
        super().__init__()
        self.pool = nn.AvgPool2d(pool)
        self.conv1, self.conv2 = nn.Conv2d(3, 20, 5), nn.Conv2d(20, 20, 5)
        sides = (((side // pool - 4) // 2 - 4) // 2 for side in (height, width))
        self.ip1, self.theta = nn.Linear(20 * next(sides) * next(sides), 20), nn.Linear(20, 6)
        nn.init.zeros_(self.theta.weight)
        with torch.no_grad():
            self.theta.bias.copy_(torch.tensor(IDENTITY))

    def forward(self, part: Tensor) -> Tensor:
        x = nn.functional.max_pool2d(self.conv1(self.pool(part)), 2).relu()
        x = nn.functional.max_pool2d(self.conv2(x), 2).relu()
        return self.theta(self.ip1(x.flatten(1)).relu())


class FeatureWeighting(nn.Module):
    """FWN: f = [global, tanh(part * weight + bias)], each number of the part with its own."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(dim, 1)), nn.Parameter(torch.zeros(dim))

    def forward(self, whole: Tensor, part: Tensor) -> Tensor:
        """(B, C) and (B, d) -> (B, C + d)."""
        return torch.cat([whole, torch.tanh(part * self.weight[:, 0] + self.bias)], dim=1)


class PDC(BodyNetwork):
    """(B, 3, 512, 256) with points -> (B, 2048), the authors' `data2048`."""

    name = "pdc"
    Sizes = PDCSizes
    mini: ClassVar = {"height": 128, "width": 64, "channels": 0.25, "short": True}

    def __init__(self, sizes: PDCSizes) -> None:
        super().__init__(sizes)
        self.places = {name: tuple(bound * sizes.height // 512 for bound in bounds) for name, bounds in MOVED.items()}
        self.backbone = SharedInception(len(STREAMS), sizes.channels, sizes.short, own=("inception_5",))
        self.transformers = nn.ModuleDict(
            {name: PoseTransformer(*place[2:], sizes.height // ROWS) for name, place in self.places.items()}
        )
        channels = self.backbone.channels
        self.weighting, self.feature_dim = FeatureWeighting(channels), 2 * channels
        dims = (channels, channels, self.feature_dim) if sizes.num_classes else ()
        self.classifiers = nn.ModuleList(nn.Conv2d(dim, sizes.num_classes, 1) for dim in dims[:2])
        self.classifiers.extend(nn.Linear(dim, sizes.num_classes) for dim in dims[2:])

    @classmethod
    def recognise(cls, tensors: Mapping[str, Tensor], preset: str, path: str | Path) -> PDCSizes:
        if FIRST not in tensors:
            raise UserError(f"{path} does not fit: it lacks {FIRST}; use a file of PDC")
        return PDCSizes()

    def official_name(self, name: str) -> str:
        kind, *rest = name.removeprefix("backbone.").split(".")
        if kind == "streams":
            number, form, layer, field = rest
            suffix = STREAMS[int(number)]
            if form == "norms":
                return of_caffe(layer, field, "{}/bn" + suffix, "{}/bn/sc" + suffix).replace(*MISSPELT)
            return f"{layer}{suffix}.weight" if suffix else f"{layer}_w"
        if kind == "convolutions":
            return f"{rest[0]}_w"
        if kind == "transformers":
            return f"st_{rest[0]}_{'.'.join(rest[1:])}"
        if kind == "weighting":
            return f"simpleconnection.{rest[0]}"
        number, field = rest
        classes = self.sizes.num_classes
        return f"{(f'conv{classes}', f'conv{classes}_part1', 'ip2')[int(number)]}.{field}"

    def unused_at_test(self) -> tuple[str, ...]:
        return "classifiers.", "people", "ip2."

    def unused_in_training(self) -> tuple[str, ...]:
        left_out = {"transformers.": not self.sizes.moved, "weighting.": not self.sizes.weighted}
        return tuple(prefix for prefix, unused in left_out.items() if unused)

    def moved_parts(self, parts: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """A picture of parts (B, 3, H, W) -> the same with parts transformed, and each theta (B, 6)."""
        result, thetas = parts.clone(), {}
        if not self.sizes.moved:
            return result, thetas
        for name, (top, left, height, width) in self.places.items():
            part = parts[:, :, top : top + height, left : left + width]
            thetas[name] = self.transformers[name](part)
            result[:, :, top : top + height, left : left + width] = transformed(part, thetas[name])
        return result, thetas

    def maps(self, pictures: Tensor, parts: Tensor) -> tuple[Tensor, Tensor]:
        """Pictures and pictures of parts, which are moved here -> the last map (B, C, H/32, W/32) of each."""
        return self.backbone(pictures, 0), self.backbone(self.moved_parts(parts)[0], 1)

    def parts(self, pictures: Tensor, points: Tensor | None) -> Tensor:
        """(B, 3, H, W): the parts of the pictures before they are moved."""
        return part_picture(pictures, self.known(pictures, points), self.black(pictures))

    def last_map(self, pictures: Tensor) -> Tensor:
        return self.backbone(pictures, 0)

    def explain(self, inputs: Inputs) -> list[Look]:
        """Beside what any network of a body shows, the picture of parts before and behind the transformers."""
        parts = self.parts(inputs.pictures, inputs.points)
        both = torch.cat([parts, self.moved_parts(parts)[0]])
        return [*super().explain(inputs), PictureLook("Upright parts", both, ["as cut", "moved"])]

    def joined(self, whole: Tensor, part: Tensor) -> Tensor:
        """Both last maps -> the test feature."""
        means = whole.mean((2, 3)), part.mean((2, 3))
        return self.weighting(*means) if self.sizes.weighted else torch.cat(means, dim=1)

    def branches(self, inputs: Inputs) -> list[Branch]:
        """Feature, picture and parts; metric losses, which the authors do not use, see the feature alone."""
        maps = self.maps(inputs.pictures, self.parts(inputs.pictures, inputs.points))
        feature = self.joined(*maps)
        if not self.classifiers:
            return [Branch(feature)]
        *single, joint = self.classifiers
        scores = [
            classify(own.mean((2, 3), keepdim=True)).flatten(1) for own, classify in zip(maps, single, strict=True)
        ]
        return [Branch(feature, joint(feature)), *(Branch(scores=own) for own in scores)]

    def forward(self, pictures: Tensor, points: Tensor | None = None) -> Tensor:
        return self.joined(*self.maps(pictures, self.parts(pictures, points)))


NETWORK = PDC


def build(weights: str | Path | None, preset: str) -> Extractor:
    return build_from_file(PDC, weights, preset)
