"""PMT (Lu et al., AAAI 2023): one ViT-B with overlapping patches for visible and infrared pictures.

Names of the modules are those of the official checkpoint, so nothing has to be translated.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from torch import Tensor, nn
from torch.nn.functional import normalize

from pose2id.errors import UserError

from .base import IMAGENET_MEAN, IMAGENET_STD, Extractor, Preprocessing
from .blocks.heads import bn_neck, class_scores
from .blocks.vit import class_look, overlapping_vit, recognise_layout, resampled_positions
from .files import build_from_file, build_from_tensors
from .looks import Look
from .reid_network import Branch, Inputs, ReIDNetwork


@dataclass(frozen=True)
class PMTSizes:
    """Of a ViT with patches of 16 pixels."""

    height: int = 256
    width: int = 128
    stride: int = 12
    dim: int = 768
    depth: int = 12
    heads: int = 12
    num_classes: int = 395


class PMT(ReIDNetwork):
    """Trained by identity and metric losses alone; PMT's grey-scale stage and modality losses are left out."""

    name = "pmt"
    Sizes = PMTSizes

    def __init__(self, sizes: PMTSizes) -> None:
        super().__init__(sizes)
        self.feature_dim = sizes.dim
        self.base = overlapping_vit(
            sizes.height,
            sizes.width,
            sizes.stride,
            embed_dim=sizes.dim,
            depth=sizes.depth,
            num_heads=sizes.heads,
            num_classes=0,
            norm_layer=partial(nn.LayerNorm, eps=1e-5),
        )
        self.bottleneck = bn_neck(sizes.dim)
        self.classifier = nn.Linear(sizes.dim, sizes.num_classes, bias=False) if sizes.num_classes else None

    @classmethod
    def recognise(cls, tensors: Mapping[str, Tensor], preset: str, path: str | Path) -> PMTSizes:
        """Stride and picture size are told by the position table."""
        if "base.pos_embed" not in tensors:
            raise UserError(f"{path} does not fit: it lacks base.pos_embed; use a file of PMT")
        height, width, stride = recognise_layout(tensors["base.pos_embed"], path)
        return PMTSizes(height, width, stride, num_classes=0)

    def preprocessing(self) -> Preprocessing:
        """Infrared pictures come as three equal channels."""
        return Preprocessing(self.sizes.height, self.sizes.width, "lanczos", IMAGENET_MEAN, IMAGENET_STD)

    def unused_at_test(self) -> tuple[str, ...]:
        return ("classifier.",)

    def of_one_data_set(self) -> tuple[str, ...]:
        return "classifier.", "bottleneck."

    def from_imagenet(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """timm's ViT without its classifier."""
        kept = resampled_positions(tensors, self.base.patch_embed.grid)
        return {f"base.{name}": tensor for name, tensor in kept.items() if not name.startswith("head.")}

    def branches(self, inputs: Inputs) -> list[Branch]:
        """The class token before the neck, with scores behind it."""
        hidden = self.base(inputs.pictures)
        scores = class_scores(self.bottleneck, self.classifier, hidden) if self.classifier else None
        return [Branch(hidden, scores)]

    def explain(self, inputs: Inputs) -> list[Look]:
        return [class_look(self.base.blocks[-1], self.base.patch_embed, inputs.pictures, self)]

    def forward(self, pictures: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, dim): the class token behind the neck, of unit length."""
        return normalize(self.bottleneck(self.base(pictures)))


NETWORK = PMT


def build(weights: str | Path | None, preset: str) -> Extractor:
    """PMT of the stride and picture size in the file."""
    return build_from_file(PMT, weights, preset)


def from_tensors(tensors: Mapping[str, Tensor], path: str | Path) -> Extractor:
    """PMT with official `tensors`, which came from `path`."""
    return build_from_tensors(PMT, tensors, path)
