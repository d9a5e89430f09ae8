"""AlignedReID (Zhang et al., arXiv 1711.08184): a global feature and rows of the map reduced to 128 numbers.

Facts are of a re-production, as no code of the authors was found; the files that it released were trained without the
local loss, so that only their global feature is worth comparing (matcher `dmli` with distance=global).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn
from torch.nn.functional import normalize

from pose2id.errors import UserError

from ..features.kinds import Layout, StripeFeatures
from .base import IMAGENET_STD, Extractor, Preprocessing
from .blocks.heads import class_scores
from .blocks.map_network import MapNetwork, MapSizes, renamed
from .files import build_from_file
from .looks import Look, PathLook
from .reid_network import Branch, Inputs

OFFICIAL = {"base.": "backbone.", "fc.": "classifier."}
MEAN = (0.486, 0.459, 0.408)  # of the re-production; ImageNet's differs


@dataclass(frozen=True)
class AlignedReIDV1Sizes(MapSizes):
    """local_dim: channels of a stripe. normalize: losses compare features and stripes of unit length."""

    last_stride: int = 2
    local_dim: int = 128
    normalize: bool = True


class AlignedReIDV1(MapNetwork):
    """(B, 3, H, W) -> the mean over the map, and of each of its rows the mean, reduced to `local_dim` numbers."""

    name = "alignedreid_v1"
    Sizes = AlignedReIDV1Sizes
    mini = MapNetwork.mini | {"last_stride": 1, "local_dim": 64}

    def __init__(self, sizes: AlignedReIDV1Sizes) -> None:
        super().__init__(sizes)
        channels = self.backbone.channels
        self.layout = Layout(StripeFeatures.kind, (self.rows, sizes.local_dim))
        self.feature_dim = channels + self.rows * sizes.local_dim
        self.local_conv = nn.Conv2d(channels, sizes.local_dim, 1)
        self.local_bn = nn.BatchNorm2d(sizes.local_dim)
        self.classifier = nn.Linear(channels, sizes.num_classes) if sizes.num_classes else None

    @classmethod
    def recognise(cls, tensors: Mapping[str, Tensor], preset: str, path: str | Path) -> AlignedReIDV1Sizes:
        if lacking := {"base.conv1.weight", "local_conv.bias"} - tensors.keys():
            raise UserError(f"{path} does not fit: it lacks {min(lacking)}; use a file of AlignedReID")
        return AlignedReIDV1Sizes(local_dim=len(tensors["local_conv.bias"]))

    def from_official(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return renamed(tensors, OFFICIAL)

    def to_official(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return renamed(tensors, {ours: theirs for theirs, ours in OFFICIAL.items()})

    def preprocessing(self) -> Preprocessing:
        return Preprocessing(self.sizes.height, self.sizes.width, "cv2_bilinear", MEAN, IMAGENET_STD)

    def unused_at_test(self) -> tuple[str, ...]:
        return ("classifier.",)

    def branches(self, inputs: Inputs) -> list[Branch]:
        """Class scores are of the mean as it is."""
        features = self(inputs.pictures)
        scores = class_scores(nn.Identity(), self.classifier, features.whole) if self.classifier else None
        if self.sizes.normalize:
            features = StripeFeatures(*(normalize(t.float(), dim=-1) for t in (features.whole, features.stripes)))
        return [Branch(features.whole, scores, stripes=features.stripes)]

    def explain_pair(self, inputs: Inputs) -> list[Look]:
        """Which stripes are compared."""
        return [PathLook("Stripes that DMLI compares", tuple(self(inputs.pictures).normalized().stripes))]

    def forward(self, pictures: Tensor) -> StripeFeatures:
        last = self.backbone(pictures)
        local = self.local_bn(self.local_conv(last.mean(3, keepdim=True))).relu()
        return StripeFeatures(last.mean((2, 3)), local.squeeze(3).mT)


NETWORK = AlignedReIDV1


def build(weights: str | Path | None, preset: str) -> Extractor:
    return build_from_file(AlignedReIDV1, weights, preset)
