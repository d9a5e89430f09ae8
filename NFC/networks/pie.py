"""PIE, pose-invariant embedding (Zheng et al., 2017): the picture, its PoseBox, and how sure the pose is.

PBF, the network that fuses the three: as in an author's code (ResNet-50, 12 confidences); the paper also has AlexNet
and 14 confidences.
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
from .blocks.backbones import IMAGENET_HEAD, build_backbone
from .blocks.body_network import BodyNetwork, of_caffe
from .body.pose_box import SIZE, pose_box
from .files import build_from_file
from .looks import Look, PictureLook
from .reid_network import Branch, Inputs

# Rows of the 14 points: right shoulder, hip, knee, ankle, elbow, wrist, and the left ones backwards, so that a mirror
# reverses them.
CONFIDENCES = [2, 8, 9, 10, 3, 4, 7, 6, 13, 12, 11, 5]
STREAMS = {"backbone": "origImg_", "box_backbone": "poseBox_"}
CLASSIFIERS = ("origImg_fc8_", "poseBox_fc8_", "overall_fc")  # the last one's name goes on with the number of people
BOXES = (SIZE, SIZE // 2, SIZE // 4, SIZE // 8)
FIRST = "origImg_conv1.weight"


@dataclass(frozen=True)
class PIESizes:
    """box: side of the PoseBox. unit: with features of unit length and confidences times `sure` (ours); else as is."""

    height: int = 224
    width: int = 224
    box: int = SIZE
    backbone: str = "resnet50_caffe"
    unit: bool = False
    sure: float = 0.1
    num_classes: int = 0

    def __post_init__(self) -> None:
        if self.box not in BOXES:
            raise UserError(f"box of pie must be one of: {', '.join(map(str, BOXES))}; got {self.box}")


class PIE(BodyNetwork):
    """(B, 3, 224, 224) with points -> (B, 2048 + 2048 + 12): picture, PoseBox, confidences."""

    name = "pie"
    Sizes = PIESizes
    mini: ClassVar = {"height": 64, "width": 32, "box": 56, "backbone": "small"}
    means = (103.939, 116.779, 123.68)  # ImageNet's; which file of them the authors took is not said
    people = r"(?<=overall_)fc\d+(?=\.)"

    def __init__(self, sizes: PIESizes) -> None:
        super().__init__(sizes)
        self.backbone, self.box_backbone = (build_backbone(sizes.backbone, 2) for _ in STREAMS)
        channels = self.backbone.channels
        self.feature_dim = 2 * channels + len(CONFIDENCES)
        dims = (channels, channels, self.feature_dim) if sizes.num_classes else ()
        self.classifiers = nn.ModuleList(nn.Linear(dim, sizes.num_classes) for dim in dims)

    @classmethod
    def recognise(cls, tensors: Mapping[str, Tensor], preset: str, path: str | Path) -> PIESizes:
        if FIRST not in tensors:
            raise UserError(f"{path} does not fit: it lacks {FIRST}; use a file of PIE")
        return PIESizes()

    def official_name(self, name: str) -> str:
        kind, *rest = name.split(".")
        if kind in STREAMS:
            return STREAMS[kind] + _caffe_name(rest) if self.sizes.backbone == "resnet50_caffe" else name
        number, field = rest
        layer = CLASSIFIERS[int(number)]
        return f"{layer}{self.sizes.num_classes if layer.endswith('fc') else ''}.{field}"

    def unused_at_test(self) -> tuple[str, ...]:
        return "classifiers.", *CLASSIFIERS[:2], "overall_people"

    def is_imagenet(self, tensors: Mapping[str, Tensor]) -> bool:
        return {"conv1.weight", f"{IMAGENET_HEAD}weight"} <= tensors.keys()

    def from_imagenet(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """timm's ResNet-50 for both streams."""
        found = {n: tensor for n, tensor in tensors.items() if not n.startswith(IMAGENET_HEAD)}
        return self.state_dict() | {f"{stream}.{name}": tensor for stream in STREAMS for name, tensor in found.items()}

    def boxes(self, pictures: Tensor, points: Tensor | None) -> Tensor:
        """The pictures' PoseBoxes (B, 3, box, box)."""
        return pose_box(pictures, self.known(pictures, points), self.sizes.box, self.black(pictures))

    def confidences(self, pictures: Tensor, points: Tensor | None) -> Tensor:
        """(B, 12)."""
        return self.known(pictures, points)[:, CONFIDENCES, 2]

    def pooled(self, pictures: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
        """The authors' pool5 of both streams, (B, C) each."""
        return self.backbone(pictures).mean((2, 3)), self.box_backbone(boxes).mean((2, 3))

    def last_map(self, pictures: Tensor) -> Tensor:
        return self.backbone(pictures)

    def explain(self, inputs: Inputs) -> list[Look]:
        """Beside what any network of a body shows, the PoseBox."""
        box = self.boxes(inputs.pictures, inputs.points)
        return [*super().explain(inputs), PictureLook("PoseBox", box, ["PoseBox"])]

    def branches(self, inputs: Inputs) -> list[Branch]:
        """Concatenation, picture and PoseBox, by their scores; metric losses of each are ours."""
        pooled = self.pooled(inputs.pictures, self.boxes(inputs.pictures, inputs.points))
        joined = torch.cat([*pooled, self.confidences(inputs.pictures, inputs.points)], dim=1)
        if not self.classifiers:
            return [Branch(joined)]
        streams = *pooled, joined
        picture, box, both = (
            Branch(own, classify(own)) for classify, own in zip(self.classifiers, streams, strict=True)
        )
        return [both, picture, box]

    def forward(self, pictures: Tensor, points: Tensor | None = None) -> Tensor:
        pooled = self.pooled(pictures, self.boxes(pictures, points))
        sure = self.confidences(pictures, points)
        if self.sizes.unit:
            pooled, sure = tuple(normalize(own.float(), dim=1) for own in pooled), self.sizes.sure * sure
        return torch.cat([*pooled, sure], dim=1)


def _caffe_name(parts: list[str]) -> str:
    """torchvision's name of a tensor of ResNet-50, split at the dots -> that of the release for Caffe."""
    *place, field = parts
    if len(place) == 1:
        (layer,) = place
        return f"{layer}.{field}" if layer == "conv1" else of_caffe("conv1", field, "bn_{}", "scale_{}")
    stage, block, layer, *rest = place
    stem = f"{int(stage[-1]) + 1}{'abcdef'[int(block)]}_branch"
    form, stem = (rest[0], f"{stem}1") if rest else (layer[:-1], f"{stem}2{'abc'[int(layer[-1]) - 1]}")
    return f"res{stem}.{field}" if form in ("0", "conv") else of_caffe(stem, field, "bn{}", "scale{}")


NETWORK = PIE


def build(weights: str | Path | None, preset: str) -> Extractor:
    return build_from_file(PIE, weights, preset)
