"""AlignedReID++ (Luo et al., Pattern Recognition 2019): a global feature and the rows of the map, matched by DMLI.

What the authors' code compares at test time is not what its local loss trains: at test the maxima of the rows of the
map itself, in training those behind a normalisation, a ReLU and a convolution to 128 channels. Facts are of that code.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn
from torch.nn.functional import normalize

from pose2id.errors import UserError

from ..features.kinds import Layout, StripeFeatures
from .base import Extractor
from .blocks.heads import class_scores
from .blocks.map_network import MapNetwork, MapSizes, renamed
from .files import build_from_file
from .looks import Look, PathLook
from .reid_network import Branch, Inputs

# The official backbone counts torchvision's modules; 2 and 3 have no tensors.
OFFICIAL = {
    "base.0.": "backbone.conv1.",
    "base.1.": "backbone.bn1.",
    **{f"base.{stage + 3}.": f"backbone.layer{stage}." for stage in (1, 2, 3, 4)},
}


@dataclass(frozen=True)
class AlignedReIDSizes(MapSizes):
    """local_dim: channels of a stripe in training."""

    last_stride: int = 2
    local_dim: int = 128


class AlignedReID(MapNetwork):
    """(B, 3, H, W) -> the mean over the map, and of each of its rows the maxima, of unit length.

    `bn`, `conv1` and `classifier` have their official names and are for training alone.
    """

    name = "alignedreid"
    Sizes = AlignedReIDSizes
    mini = MapNetwork.mini | {"last_stride": 1, "local_dim": 64}

    def __init__(self, sizes: AlignedReIDSizes) -> None:
        super().__init__(sizes)
        channels = self.backbone.channels
        self.layout = Layout(StripeFeatures.kind, (self.rows, channels))
        self.feature_dim = channels * (1 + self.rows)
        self.bn = nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, sizes.local_dim, 1)
        self.classifier = nn.Linear(channels, sizes.num_classes) if sizes.num_classes else None

    @classmethod
    def recognise(cls, tensors: Mapping[str, Tensor], preset: str, path: str | Path) -> AlignedReIDSizes:
        if "base.0.weight" not in tensors:
            raise UserError(f"{path} does not fit: it lacks base.0.weight; use a file of AlignedReID++")
        return AlignedReIDSizes()

    def from_official(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return renamed(tensors, OFFICIAL)

    def to_official(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return renamed(tensors, {ours: theirs for theirs, ours in OFFICIAL.items()})

    def unused_at_test(self) -> tuple[str, ...]:
        return "bn.", "conv1.", "classifier."

    def branches(self, inputs: Inputs) -> list[Branch]:
        """The mean as it is, its class scores, and stripes (B, H, local_dim) of unit length."""
        last = self.backbone(inputs.pictures)
        whole = last.mean((2, 3))
        local = self.conv1(self.bn(last).relu().amax(3, keepdim=True)).squeeze(3)
        scores = class_scores(nn.Identity(), self.classifier, whole) if self.classifier else None
        return [Branch(whole, scores, stripes=normalize(local.float().mT, dim=2))]

    def explain_pair(self, inputs: Inputs) -> list[Look]:
        """Which stripes are compared."""
        return [PathLook("Stripes that DMLI compares", tuple(self(inputs.pictures).normalized().stripes))]

    def forward(self, pictures: Tensor) -> StripeFeatures:
        last = self.backbone(pictures)
        return StripeFeatures(last.mean((2, 3)), normalize(last.amax(3).mT, dim=2))


NETWORK = AlignedReID


def build(weights: str | Path | None, preset: str) -> Extractor:
    return build_from_file(AlignedReID, weights, preset)
