"""What IDLA and PersonNet have in common: two sides of neighbourhood differences, and a two-class verdict."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pose2id.errors import UserError

from ..looks import DifferenceLook, Look
from ..reid_network import Inputs
from .neighbourhood import PatchSummary, neighbourhood_differences
from .pair_network import PairNetwork, PairSizes


@dataclass(frozen=True)
class DifferenceSizes(PairSizes):
    """neighbourhood: 5 as published; 1 compares the same place alone, as a control. channels: of the maps."""

    channels: int = 25
    hidden: int = 500
    neighbourhood: int = 5


class DifferenceNetwork(PairNetwork):
    """Side a judges f against g, side b g against f, with weights of their own; both together are same or different.

    So score(f, g) is not score(g, f). f is the query's map: ours, no source says.
    """

    last_layers = ("fc1", "fc2")

    def __init__(self, sizes: DifferenceSizes, map_shape: tuple[int, int, int], side_numbers: int) -> None:
        """side_numbers: how many numbers a side ends in."""
        super().__init__(sizes, map_shape)
        self.require_large(side_numbers)
        if sizes.neighbourhood % 2 == 0 or sizes.neighbourhood < 1:
            raise UserError(f"{self.name}: neighbourhood must be an odd number, got {sizes.neighbourhood}")
        self.summary_a = PatchSummary(sizes.channels, sizes.neighbourhood)
        self.summary_b = PatchSummary(sizes.channels, sizes.neighbourhood)
        self.fc1 = nn.Linear(2 * side_numbers, sizes.hidden)
        self.fc2 = nn.Linear(sizes.hidden, 2)

    @classmethod
    def recognise(cls, tensors: Mapping[str, Tensor], preset: str, path: str | Path) -> Any:
        """The sizes of the preset with the file's neighbourhood, for a file without a header."""
        if "summary_a.weight" not in tensors:
            raise UserError(f"{path} does not fit: it lacks summary_a.weight; use a file of {cls.name}")
        return replace(cls.preset_sizes(preset), neighbourhood=tensors["summary_a.weight"].shape[-1])

    @abstractmethod
    def across_patches(self, summary: Tensor, side: str) -> Tensor:
        """A side's rectified summary (P, C, h, w) -> (P, ...), by the side's own weights, "a" or "b"."""

    def strengths(self, query: Tensor, gallery: Tensor) -> tuple[Tensor, Tensor]:
        """Maps (C, h, w) each -> (h, w) each: the length of the rectified K at each place, and of the rectified K'.

        That is what the network sees of a place: all channels, all neighbours; what it has learnt to make of it is not
        in.
        """
        size = self.sizes.neighbourhood
        sides = [neighbourhood_differences(*pair, size).relu() for pair in ((query, gallery), (gallery, query))]
        return tuple(side.square().sum((0, 3, 4)).sqrt() for side in sides)

    def explain_pair(self, inputs: Inputs) -> list[Look]:
        """Where both pictures differ from each other's surroundings, and its verdict."""
        query, gallery = self.maps(inputs.pictures)
        maps = torch.stack(self.strengths(query, gallery))[:, None]
        score = float(self.pair_scores(query[None], gallery[None]))
        names = ("query − gallery (K)",), ("gallery − query (K′)",)
        return [DifferenceLook("Length of the rectified differences", maps, names, "log-odds of one person", score)]

    def compare(self, query: Tensor, gallery: Tensor) -> tuple[None, Tensor]:
        sides = [
            self.across_patches(self.summary_a(query, gallery).relu(), "a"),
            self.across_patches(self.summary_b(gallery, query).relu(), "b"),
        ]
        joined = torch.cat([side.flatten(1) for side in sides], 1)
        return None, self.fc2(self.fc1(joined).relu())
