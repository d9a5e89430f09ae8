"""The gated Siamese CNN (Varior, Haloi and Wang, ECCV 2016), whose embeddings depend on the picture compared with.

Known, from a reading note: pictures of 128 x 64 less the mean picture, three poolings, then kernels that keep the rows
and bring the columns down to one, batch normalisation and PReLU, a matching gate behind the last four stages. How many
channels there are, and ImageNet's mean colour for the mean picture, is ours; there is no public code.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from pose2id.errors import UserError

from .base import IMAGENET_MEAN, IMAGENET_STD, Extractor, Preprocessing
from .blocks.matching_gate import MatchingGate, NoGate
from .blocks.pair_network import PairNetwork, PairSizes
from .files import build_from_file
from .looks import DifferenceLook, Look, numbered
from .reid_network import Inputs

POOLED = 8  # pictures are so many times larger than the maps


@dataclass(frozen=True)
class GatedSiameseSizes(PairSizes):
    """channels: of the maps, a half and a quarter of them before. gated: false leaves the gates out."""

    height: int = 128
    width: int = 64
    channels: int = 128
    gated: bool = True


class GatedSiamese(PairNetwork):
    """(B, 3, 128, 64) -> maps (B, 128, 16, 8), all that can be computed of a picture by itself.

    Of a pair: a gate, then halving the columns and a gate until one column is left; embeddings are its 16 rows in one
    vector of unit length, and their Euclidean distance is the verdict, the same in both orders.
    """

    name = "gated_siamese"
    Sizes = GatedSiameseSizes

    def __init__(self, sizes: GatedSiameseSizes) -> None:
        rows, columns = sizes.height // POOLED, sizes.width // POOLED
        super().__init__(sizes, (sizes.channels, rows, columns))
        if sizes.channels % 4 or columns & (columns - 1):
            raise UserError(
                f"{self.name}: channels must be a multiple of 4, and the width 8 times a power of 2; "
                f"got {sizes.channels} and {sizes.width}"
            )
        quarter, half, whole = sizes.channels // 4, sizes.channels // 2, sizes.channels
        self.blocks = nn.Sequential(_pooled(3, quarter), _pooled(quarter, half), _pooled(half, whole))
        widths = [columns >> number for number in range(columns.bit_length())]  # 8, 4, 2, 1
        self.halving = nn.ModuleList(_halved(whole) for _ in widths[1:])
        self.gates = nn.ModuleList((MatchingGate if sizes.gated else NoGate)(whole, width) for width in widths)

    def preprocessing(self) -> Preprocessing:
        return Preprocessing(self.sizes.height, self.sizes.width, "bilinear", IMAGENET_MEAN, IMAGENET_STD)

    def maps(self, pictures: Tensor) -> Tensor:
        return self.blocks(pictures)

    def embeddings(self, query: Tensor, gallery: Tensor) -> tuple[Tensor, Tensor]:
        """Maps (P, C, R, W) each -> (P, C * R) each, of unit length."""
        query, gallery = self.gates[0](query, gallery)
        for halve, gate in zip(self.halving, self.gates[1:], strict=True):
            query, gallery = gate(*halve(torch.cat([query, gallery])).chunk(2))
        return normalize(query.flatten(1)), normalize(gallery.flatten(1))

    def opened(self, query: Tensor, gallery: Tensor) -> list[Tensor]:
        """Maps (P, C, R, W) each -> of each stage how open its gate is for each row, (P, R), a mean over channels."""
        found = []
        for halve, gate in zip((None, *self.halving), self.gates, strict=True):
            if halve is not None:
                query, gallery = halve(torch.cat([query, gallery])).chunk(2)
            found.append(gate.gate(query, gallery).mean((1, 3)))
            query, gallery = gate(query, gallery)
        return found

    def explain_pair(self, inputs: Inputs) -> list[Look]:
        """Which rows the gates of the stages amplify, the same of both pictures."""
        query, gallery = self.maps(inputs.pictures)[:, None]
        gates = torch.cat(self.opened(query, gallery))[..., None]  # (stages, R, 1)
        names = numbered("gate", len(gates))
        score = float(self.pair_scores(query, gallery))
        maps = gates.expand(2, -1, -1, -1)
        return [DifferenceLook("Mean of the gates of a row", maps, (names, names), "minus the distance", score)]

    def compare(self, query: Tensor, gallery: Tensor) -> tuple[Tensor, None]:
        first, second = self.embeddings(query, gallery)
        return (first - second).norm(dim=1), None


def _pooled(channels: int, out: int) -> nn.Sequential:
    return nn.Sequential(*_convolved(channels, out, (3, 3), 1), nn.MaxPool2d(2))


def _halved(channels: int) -> nn.Sequential:
    """As many rows, half as many columns."""
    return nn.Sequential(*_convolved(channels, channels, (1, 3), (1, 2)))


def _convolved(channels: int, out: int, kernel: tuple[int, int], stride: int | tuple[int, int]) -> list[nn.Module]:
    padding = kernel[0] // 2, kernel[1] // 2
    convolution = nn.Conv2d(channels, out, kernel, stride, padding, bias=False)
    return [convolution, nn.BatchNorm2d(out), nn.PReLU(out)]


NETWORK = GatedSiamese


def build(weights: str | Path | None, preset: str) -> Extractor:
    return build_from_file(GatedSiamese, weights, preset)
