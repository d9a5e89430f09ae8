"""What networks have in common that judge pairs: maps once a picture, then a verdict on two maps."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from pose2id.errors import UserError

from ...features.kinds import Layout, MapFeatures
from ..base import Preprocessing
from ..reid_network import Branch, Inputs, Pairs, ReIDNetwork


class Order(Enum):
    """Which picture of a pair comes first: the query, or each once, whose scores are averaged."""

    query_first = "query_first"
    both = "both"


@dataclass(frozen=True)
class PairSizes:
    """Of pictures; a network adds its own. num_classes: of the training pictures; pairs need no classifier."""

    height: int = 160
    width: int = 60
    num_classes: int = 0


def likeness(distances: Tensor | None, scores: Tensor | None) -> Tensor:
    """Of P pairs, (P,), higher is more alike: log-odds of "same" by scores (P, 2), or minus the distance (P,)."""
    return -distances if scores is None else scores[:, 1] - scores[:, 0]


class JudgesPairs(ReIDNetwork):
    """A network trained on pairs, from scratch, without published weights. Its `Sizes` derive from `PairSizes`."""

    trained_on_pairs = True
    mini: ClassVar = {"height": 64, "width": 32}
    last_layers: ClassVar[tuple[str, ...]] = ("",)  # prefixes of what learns from hard pairs; here everything

    @classmethod
    def recognise(cls, tensors: Mapping[str, Tensor], preset: str, path: str | Path) -> Any:
        """Nobody released weights, so only files of our own, whose header has the sizes, can be read."""
        raise UserError(f"{path} does not say its sizes, and {cls.name} has no released weights; train one: train-reid")

    def preprocessing(self) -> Preprocessing:
        """Each picture standardised by itself."""
        return Preprocessing(self.sizes.height, self.sizes.width, "bilinear", standardise=True)

    def of_pairs(self, inputs: Inputs) -> Tensor:
        """The rows of each pair (P, 2); `UserError` where the batches are not of pairs."""
        if inputs.pairs is None:
            raise UserError(f"network '{self.name}' is trained on pairs of pictures; give scheme=pairs")
        return inputs.pairs


class PairNetwork(JudgesPairs):
    """`maps` of a picture (B, 3, H, W) -> (B, C, h, w), its test feature; `compare` judges pairs of them."""

    judges_pairs = True

    def __init__(self, sizes: PairSizes, map_shape: tuple[int, int, int]) -> None:
        """map_shape: (C, h, w)."""
        super().__init__(sizes)
        self.map_shape = map_shape
        self.require_large(min(map_shape))
        self.feature_dim = torch.Size(map_shape).numel()
        self.layout = Layout(MapFeatures.kind, map_shape)

    def require_large(self, rest: int) -> None:
        """`UserError` for pictures of which `rest` numbers are left, where there has to be one."""
        if rest < 1:
            size = f"{self.sizes.height} x {self.sizes.width}"
            raise UserError(f"{self.name}: pictures of {size} are too small; give larger network.sizes")

    @abstractmethod
    def maps(self, pictures: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, C, h, w)."""

    def last_map(self, pictures: Tensor) -> Tensor:
        return self.maps(pictures)

    @abstractmethod
    def compare(self, query: Tensor, gallery: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Maps (P, C, h, w) each -> distances (P,) or None, and scores (P, 2) of "different" and "same" or None."""

    def pair_scores(self, query: Tensor, gallery: Tensor, order: Order = Order.query_first) -> Tensor:
        """Maps (P, C, h, w) each -> (P,), higher is more alike: log-odds of "same", or minus the distance."""
        if order is Order.both:
            return (self.pair_scores(query, gallery) + self.pair_scores(gallery, query)) / 2
        return likeness(*self.compare(query, gallery))

    def branches(self, inputs: Inputs) -> list[Branch]:
        """One of pairs alone; the first picture of a pair takes the part of the query."""
        rows = self.of_pairs(inputs)
        maps = self.maps(inputs.pictures)
        return [Branch(pairs=Pairs(rows, *self.compare(maps[rows[:, 0]], maps[rows[:, 1]])))]

    def forward(self, pictures: Tensor) -> MapFeatures:
        return MapFeatures(self.maps(pictures))
