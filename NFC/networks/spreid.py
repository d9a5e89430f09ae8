"""SPReID (Kalayeh et al., CVPR 2018): the map of an Inception-V3, pooled by the parts of the body that a parser sees.

The parser, an Inception-V3 too, is part of the network and stays as it is in training. Names of the authors' files are
HDF5 paths; `from_official` translates them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

import torch
from torch import Tensor, nn

from pose2id.errors import UserError
from pose2id.pictures import OPENCV_BILINEAR

from .base import Extractor, Preprocessing
from .blocks.backbones import build_backbone
from .blocks.inception_v3 import Classifier, InceptionV3, map_place
from .blocks.map_network import renamed
from .blocks.parsing import PARSINGS, PARTS, Parsing
from .blocks.semantic_pooling import lip_regions, regions_of_labels, resized, semantic_feature
from .body.inputs import BodyInputs, Table
from .files import build_from_file, build_from_tensors
from .looks import WHOLE, Look, MapLook, PartLook, energy
from .reid_network import Branch, Inputs, ReIDNetwork

INCEPTION = "inception_v3"
MEAN = (103.939 / 255, 116.779 / 255, 123.68 / 255)  # BGR
PIXEL = (1 / 255,) * 3  # values stay as large as those of the pixels
THIRDS = 3  # of the feature
PREFIXES = {"predictor.": "backbone.", "segmentation.": "parser.", "classifiers.0.conv.": "classifier."}
# What lies in a layer of Chainer -> its name in PyTorch, by the layer's own name.
LEAVES = {
    "conv": {"W": "weight", "b": "bias"},
    "bn": {
        "gamma": "weight",
        "beta": "bias",
        "avg_mean": "running_mean",
        "avg_var": "running_var",
        "N": "num_batches_tracked",
    },
}
CONVOLUTION = "predictor.convolution.0.conv.weight"


@dataclass(frozen=True)
class SPReIDSizes:
    """height, width: of the pictures, as the parser sees them; reid_height, reid_width: as the backbone sees them.

    thin: divides the channels of both. backbone: "inception_v3", or (ours) one of `blocks.backbones` beside the same
    parser. own_classifiers: one for each third of the feature; else, as the authors, one of the whole, which in a short
    training leaves the third of the whole picture unlearnt.
    """

    height: int = 512
    width: int = 512
    reid_height: int = 512
    reid_width: int = 170
    thin: int = 1
    backbone: str = INCEPTION
    own_classifiers: bool = False
    num_classes: int = 0


class Parser(nn.Module):
    """(B, 3, H, W) -> probabilities of LIP's classes (B, 20, H / 17 or so, ...); it never learns."""

    def __init__(self, thin: int) -> None:
        super().__init__()
        self.predictor = InceptionV3(dilated=True, thin=thin)
        classes = len(PARSINGS["lip"].classes)
        self.classifiers = nn.ModuleList([Classifier(self.predictor.channels, classes, thin)])

    def train(self, mode: bool = True) -> Self:
        return super().train(False)

    @torch.no_grad()
    def forward(self, pictures: Tensor) -> Tensor:
        return self.classifiers[0](self.predictor(pictures)).softmax(1)


class SPReID(ReIDNetwork):
    """(B, 3, H, W) -> (B, 3 x channels): foreground, maximum over four parts, mean."""

    name = "spreid"
    Sizes = SPReIDSizes
    mini: ClassVar = {
        "height": 128,
        "width": 128,
        "reid_height": 64,
        "reid_width": 32,
        "thin": 8,
        "backbone": "small",
    }

    def __init__(self, sizes: SPReIDSizes) -> None:
        super().__init__(sizes)
        own = sizes.backbone == INCEPTION
        self.backbone = InceptionV3(dilated=False, thin=sizes.thin) if own else build_backbone(sizes.backbone, 1)
        self.parser = Parser(sizes.thin)
        self.feature_dim = 3 * self.backbone.channels
        self.classifier, self.classifier_of_third = None, None
        if sizes.num_classes and sizes.own_classifiers:
            thirds = (nn.Linear(self.backbone.channels, sizes.num_classes) for _ in range(THIRDS))
            self.classifier_of_third = nn.ModuleList(thirds)
        elif sizes.num_classes:
            self.classifier = nn.Linear(self.feature_dim, sizes.num_classes)

    @classmethod
    def recognise(cls, tensors: Mapping[str, Tensor], preset: str, path: str | Path) -> SPReIDSizes:
        """Of the authors' two stages, the first; the other one differs by the size of the pictures alone."""
        names = {_torch_name(name) for name in tensors}
        if not {CONVOLUTION, f"segmentation.{CONVOLUTION}"} <= names:
            raise UserError(
                f"{path} does not fit: it lacks predictor/convolution or segmentation; use a file of SPReID"
            )
        return SPReIDSizes()

    def from_official(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """HDF5 paths of Chainer, `predictor/convolution/0/bn/gamma`, or what `to_official` made."""
        ours = renamed({_torch_name(name): tensor for name, tensor in tensors.items()}, PREFIXES)
        return {n: t.flatten(1) if n == "classifier.weight" else t for n, t in ours.items()}

    def to_official(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        theirs = renamed(tensors, {ours: official for official, ours in PREFIXES.items()})
        return {
            _chainer_name(n): t[..., None, None] if n == "classifiers.0.conv.weight" else t for n, t in theirs.items()
        }

    def preprocessing(self) -> Preprocessing:
        return Preprocessing(self.sizes.height, self.sizes.width, OPENCV_BILINEAR, MEAN, PIXEL, channel_order="bgr")

    def training_inputs(self) -> BodyInputs:
        """Label maps of `blocks.parsing.PARTS`, which take the parser's place."""
        return BodyInputs(("parsing",), optional=("parsing",), labels=_parts)

    def test_inputs(self) -> BodyInputs:
        return self.training_inputs()

    def unused_at_test(self) -> tuple[str, ...]:
        return "classifier.", "classifier_of_third."

    def unused_in_training(self) -> tuple[str, ...]:
        return ("parser.",)

    def branches(self, inputs: Inputs) -> list[Branch]:
        """The whole feature with its classifier, or its thirds, each with its own (a third of the weight, ours)."""
        features = self(inputs.pictures, inputs.parsing)
        if self.classifier_of_third is not None:
            thirds = zip(features.chunk(THIRDS, 1), self.classifier_of_third, strict=True)
            return [Branch(third, classifier(third), 1 / THIRDS) for third, classifier in thirds]
        return [Branch(features, self.classifier(features) if self.classifier else None)]

    def regions(self, pictures: Tensor) -> Tensor:
        """(B, 5, h, w): foreground, head, torso and arms, legs, shoes, as the network's own parser sees them."""
        return lip_regions(self.parser(pictures).float())

    def last_map(self, pictures: Tensor) -> Tensor:
        return self.backbone(resized(pictures, (self.sizes.reid_height, self.sizes.reid_width)))

    def explain(self, inputs: Inputs) -> list[Look]:
        """The masks by which the map is pooled, of its own parser or of label maps, and the energy of the map."""
        maps, size = self.last_map(inputs.pictures), (self.sizes.height, self.sizes.width)
        if inputs.parsing is None:
            masks = self.regions(inputs.pictures)[0]
            place = map_place(masks, size, dilated=True)
        else:
            masks = regions_of_labels(inputs.parsing, maps.shape[2:])[0]
            place = WHOLE
        reid = self.sizes.reid_height, self.sizes.reid_width
        own = map_place(maps, reid, dilated=False) if self.sizes.backbone == INCEPTION else WHOLE
        return [
            PartLook("Masks of the parts", masks[1:], PARTS[1:], place=place),
            PartLook("Mask of the foreground", masks[:1], ["foreground"], place=place),
            MapLook("Energy of the last map", energy(maps), ["energy"], place=own),
        ]

    def forward(self, pictures: Tensor, parsing: Tensor | None = None) -> Tensor:
        """parsing: label maps (B, H, W) int64 of `blocks.parsing.PARTS`, instead of what the own parser sees.

        Of a picture whose map is -1 everywhere the own parser is asked.
        """
        features = self.last_map(pictures).float()
        if parsing is None:
            return semantic_feature(features, self.regions(pictures))
        told = semantic_feature(features, regions_of_labels(parsing, features.shape[2:]))
        known = (parsing >= 0).flatten(1).any(1)
        if known.all():
            return told
        return torch.where(known[:, None], told, semantic_feature(features, self.regions(pictures)))


def _parts(parsing: Parsing) -> Table:
    return parsing.parts


def _torch_name(name: str) -> str:
    """`a/bn/gamma` -> `a.bn.weight`."""
    *layers, leaf = name.split("/")
    leaf = LEAVES.get(layers[-1], {}).get(leaf, leaf) if layers else leaf
    return ".".join([*layers, leaf])


def _chainer_name(name: str) -> str:
    """The inverse of `_torch_name`."""
    *layers, leaf = name.split(".")
    theirs = {ours: official for official, ours in LEAVES.get(layers[-1], {}).items()}
    return "/".join([*layers, theirs.get(leaf, leaf)])


NETWORK = SPReID


def build(weights: str | Path | None, preset: str) -> Extractor:
    return build_from_file(SPReID, weights, preset)


def from_tensors(tensors: Mapping[str, Tensor], path: str | Path) -> Extractor:
    """SPReID with `tensors` of the authors' HDF5 paths, which came from `path`."""
    return build_from_tensors(SPReID, tensors, path)
