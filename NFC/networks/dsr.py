"""DSR (He et al., CVPR 2018) in the two forms of its authors' later code; none of the paper's own network was found.

A feature of the whole picture, and columns of windows of several sizes anywhere in its map, which the matcher
`reconstruction` rebuilds from those of another picture. No weights of either are linked by the authors.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor, nn

from pose2id.errors import UserError

from ..features.kinds import ColumnFeatures
from ..features.kinds.layout import Layout
from .base import IMAGENET_MEAN, IMAGENET_STD, Extractor, Preprocessing
from .blocks.columns import WHOLE, MeanHead, ScoredHead, spread, window_counts
from .blocks.map_network import BACKBONE, MapNetwork, MapSizes, renamed
from .blocks.own_size import DSRExtractor
from .files import build_from_file, build_from_tensors
from .looks import Look, MapLook
from .reid_network import Branch, Inputs

OWN_SIZE = 2  # how many of the windows are used on pictures of their own size


@dataclass(frozen=True)
class Dialect:
    """What differs between the authors' two forms besides sizes: head, official prefixes, how pictures are read."""

    head: type[MeanHead] | type[ScoredHead]
    prefixes: Mapping[str, str]
    resize: str
    mean: tuple[float, float, float]
    told_by: str  # a tensor that only such a file has


@dataclass(frozen=True)
class DSRSizes(MapSizes):
    """dialect: "fastreid" (2020) or "sfr" (2019). windows: sides on the map in order, 0 for all of it; their stride."""

    height: int = 384
    backbone: str = "resnet50_ibn_a"
    dialect: str = "fastreid"
    windows: list[int] = field(default_factory=lambda: [2, 4, 6, 8])
    stride: int = 2


SFR = DSRSizes(width=192, backbone="resnet50", dialect="sfr", windows=[3, 6, 9, 12, WHOLE], stride=3)
OFFICIAL = {"fastreid": DSRSizes(), "sfr": SFR}
DIALECTS = {
    "fastreid": Dialect(ScoredHead, {"heads.": "head."}, "bicubic", IMAGENET_MEAN, "heads.occ_unit.mask_layer.weight"),
    "sfr": Dialect(
        MeanHead,
        {"base.": BACKBONE, "bn1.": "head.bn1."},
        "cv2_bilinear",
        (0.486, 0.459, 0.408),
        "base.conv1.weight",
    ),
}


class DSR(MapNetwork):
    """(B, 3, H, W) -> columns: whole, columns of all windows as they are, and how much each counts in a query."""

    name = "dsr"
    Sizes = DSRSizes
    optional = (*MapNetwork.optional, "windows")
    mini = MapNetwork.mini | {"windows": [1, 2], "stride": 1}

    def __init__(self, sizes: DSRSizes) -> None:
        super().__init__(sizes)
        if sizes.dialect not in DIALECTS:
            raise UserError(f"dsr: unknown dialect '{sizes.dialect}'; choose one of: {', '.join(DIALECTS)}")
        self.dialect, channels = DIALECTS[sizes.dialect], self.backbone.channels
        self.head: nn.Module = self.dialect.head(channels, sizes.num_classes)
        self.reduction = self.backbone.stride * sizes.last_stride
        self.layout, self.feature_dim = self.laid_out(sizes.height, sizes.width, sizes.windows)

    @classmethod
    def recognise(cls, tensors: Mapping[str, Tensor], preset: str, path: str | Path) -> DSRSizes:
        """The dialect is told by names."""
        for name, dialect in DIALECTS.items():
            if dialect.told_by in tensors:
                return OFFICIAL[name]
        lacking = " and ".join(dialect.told_by for dialect in DIALECTS.values())
        raise UserError(f"{path} does not fit: it lacks {lacking}; use a file of DSR")

    def from_official(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return renamed(tensors, self.dialect.prefixes)

    def to_official(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return renamed(tensors, {ours: official for official, ours in self.dialect.prefixes.items()})

    def preprocessing(self) -> Preprocessing:
        size, dialect = self.sizes, self.dialect
        return Preprocessing(size.height, size.width, dialect.resize, dialect.mean, IMAGENET_STD)

    def unused_at_test(self) -> tuple[str, ...]:
        return tuple(f"head.{name}" for name in self.dialect.head.unused_at_test)

    def extractor(self, preprocessing: Preprocessing | None = None) -> DSRExtractor:
        return DSRExtractor(self, preprocessing or self.preprocessing())

    def laid_out(self, height: int, width: int, windows: Sequence[int]) -> tuple[Layout, int]:
        """How features of `windows` of pictures of that size are laid out, and of how many numbers they are."""
        sides = (-(-side // self.reduction) for side in (height, width))
        columns, channels = sum(window_counts(*sides, windows, self.sizes.stride)), self.backbone.channels
        return Layout(ColumnFeatures.kind, (columns, channels)), channels + columns * channels + columns

    def branches(self, inputs: Inputs) -> list[Branch]:
        return self.head.branches(self.backbone(inputs.pictures), self.sizes.windows, self.sizes.stride)

    def forward(self, pictures: Tensor) -> ColumnFeatures:
        return self.head.features(self.backbone(pictures), self.sizes.windows, self.sizes.stride)

    def explain(self, inputs: Inputs) -> list[Look]:
        """How much the windows over a place count in a query, and the energy of the map."""
        size, feats = self.last_map(inputs.pictures).shape[2:], self(inputs.pictures)
        weights = spread(feats.weights[0], size, self.sizes.windows, self.sizes.stride)
        return [MapLook("Weights of the windows", weights[None], ["mean over a place"]), *super().explain(inputs)]

    def in_own_size(self, pictures: Tensor) -> ColumnFeatures:
        """Preprocessed pictures (B, 3, h, w) of another size than the network's -> features of as many columns as fit.

        Of the first two windows, as the authors' older code does for partial pictures (3 and 6; for the newer one this
        is ours). `UserError` for pictures whose map is smaller than the smallest window. To put features of several
        sizes into one set, see `ColumnFeatures.padded`.
        """
        return self.head.features(self.backbone(pictures), self.own_windows, self.sizes.stride)

    @property
    def own_windows(self) -> list[int]:
        """Those of `in_own_size`."""
        return self.sizes.windows[:OWN_SIZE]


NETWORK = DSR


def build(weights: str | Path | None, preset: str) -> Extractor:
    """DSR of the dialect of the file."""
    return build_from_file(DSR, weights, preset)


def from_tensors(tensors: Mapping[str, Tensor], path: str | Path) -> Extractor:
    """DSR with official `tensors`, which came from `path`."""
    return build_from_tensors(DSR, tensors, path)
