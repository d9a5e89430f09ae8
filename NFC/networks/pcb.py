"""PCB, the part-based convolutional baseline (Sun et al., ECCV 2018): stripes of the map, each with a classifier.

Public checkpoints come in four dialects, see `blocks.pcb_dialects`; each ranks as its own authors' test code does.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from pose2id.errors import UserError

from .base import IMAGENET_STD, Extractor, Preprocessing
from .blocks.map_network import MapNetwork, MapSizes
from .blocks.pcb_dialects import DIALECTS, recognise_dialect
from .blocks.stripe_heads import StripeHeads, stripe_means, stripe_shares
from .files import build_from_file, build_from_tensors
from .looks import Look, PartLook, energy_look, numbered
from .reid_network import Branch, Inputs

FEATURES = ("G", "H")


@dataclass(frozen=True)
class PCBSizes(MapSizes):
    """dialect: one of `DIALECTS`. own_reductions, feature: None as in the dialect.

    feature: "G", the stripes of the map, or "H", the reduced ones. classifiers: as `StripeHeads` has it. mean_loss: the
    mean of the stripes' losses instead of their sum.
    """

    height: int = 384
    parts: int = 6
    dialect: str = "official"
    reduced: int = 256
    own_reductions: bool | None = None
    feature: str | None = None
    classifiers: str = "own"
    mean_loss: bool = False


class PCB(MapNetwork):
    """(B, 3, H, W) -> (B, parts * channels), or * reduced: as the dialect's test code orders and normalises them."""

    name = "pcb"
    Sizes = PCBSizes
    mini = MapNetwork.mini | {"parts": 4, "reduced": 64}

    def __init__(self, sizes: PCBSizes) -> None:
        super().__init__(sizes)
        if sizes.dialect not in DIALECTS:
            raise UserError(f"unknown dialect '{sizes.dialect}'; choose one of: {', '.join(DIALECTS)}")
        self.dialect = DIALECTS[sizes.dialect]
        self.feature = self.dialect.feature if sizes.feature is None else sizes.feature
        if self.feature not in FEATURES:
            raise UserError(f"unknown feature '{self.feature}'; choose one of: {', '.join(FEATURES)}")
        own = self.dialect.own_reductions if sizes.own_reductions is None else sizes.own_reductions
        channels, form = self.backbone.channels, self.dialect.form
        self.local = StripeHeads(channels, sizes.parts, sizes.reduced, form, own, sizes.classifiers, sizes.num_classes)
        self.feature_dim = sizes.parts * (channels if self.feature == "G" else sizes.reduced)

    @classmethod
    def recognise(cls, tensors: Mapping[str, Tensor], preset: str, path: str | Path) -> Any:
        name = recognise_dialect(tensors, path)
        dialect = DIALECTS[name]
        return cls.Sizes(width=dialect.width, parts=dialect.parts_of(tensors), dialect=name)

    def from_official(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return self.dialect.from_official(tensors, self.sizes.parts)

    def to_official(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return self.dialect.to_official(tensors, self.sizes.parts)

    def preprocessing(self) -> Preprocessing:
        dialect = self.dialect
        return Preprocessing(self.sizes.height, self.sizes.width, dialect.resize, dialect.mean, IMAGENET_STD)

    def unused_at_test(self) -> tuple[str, ...]:
        """ImageNet's classifier is in some files."""
        return "local." if self.feature == "G" else "local.classifiers.", "backbone.fc."

    def of_one_data_set(self) -> tuple[str, ...]:
        return "local.", "backbone.fc."

    def pool(self, maps: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, parts, C)."""
        return stripe_means(maps, self.sizes.parts)

    def shares(self, maps: Tensor) -> Tensor:
        """(1, C, h, w) -> (parts, h, w): how much of each place goes to each part."""
        return stripe_shares(*maps.shape[2:], self.sizes.parts)

    def explain(self, inputs: Inputs) -> list[Look]:
        """Which place is whose, and the energy of the map."""
        maps = self.backbone(inputs.pictures)
        return [PartLook("Parts", self.shares(maps), numbered("part", self.sizes.parts)), energy_look(maps[0])]

    def parts(self, pictures: Tensor) -> Tensor:
        """The paper's g, (B, parts, channels), of the pictures as they are."""
        return self.pool(self.backbone(pictures))

    def reduced_parts(self, pictures: Tensor) -> Tensor:
        """The paper's h, (B, parts, reduced)."""
        return self.local.reduced(self.parts(pictures))

    def branches(self, inputs: Inputs) -> list[Branch]:
        """One a stripe, with scores alone."""
        if not self.local.classifiers:
            return [Branch()]
        scores = self.local.scores(self.parts(inputs.pictures))
        weight = 1 / len(scores) if self.sizes.mean_loss else 1.0
        return [Branch(scores=own, weight=weight) for own in scores]

    def forward(self, pictures: Tensor) -> Tensor:
        described = self.parts if self.feature == "G" else self.reduced_parts
        parts = described(pictures)
        if self.dialect.mirrored:
            parts = parts + described(pictures.flip(-1))
        return self.dialect.joined(parts)


NETWORK = PCB


def build(weights: str | Path | None, preset: str) -> Extractor:
    """PCB of the dialect and number of parts in the file."""
    return build_from_file(PCB, weights, preset)


def from_tensors(tensors: Mapping[str, Tensor], path: str | Path) -> Extractor:
    """PCB with official `tensors`, which came from `path`."""
    return build_from_tensors(PCB, tensors, path)
