"""PMT (Lu et al., AAAI 2023): one ViT-B with overlapping patches for visible and infrared pictures.

Names of the modules are those of the official checkpoint, so nothing has to be translated.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from torch import Tensor, nn
from torch.nn.functional import normalize

from pose2id.errors import UserError
from pose2id.weights import load_tensors, read_tensors, strip_prefix, weights_file

from .base import IMAGENET_MEAN, IMAGENET_STD, Extractor, Preprocessing
from .blocks.vit import overlapping_vit, recognise_layout

TRAINING_ONLY = ("classifier.",)


class PMT(nn.Module):
    def __init__(
        self, height: int = 256, width: int = 128, stride: int = 12, dim: int = 768, depth: int = 12, heads: int = 12
    ) -> None:
        super().__init__()
        self.feature_dim = dim
        self.base = overlapping_vit(
            height,
            width,
            stride,
            embed_dim=dim,
            depth=depth,
            num_heads=heads,
            num_classes=0,
            norm_layer=partial(nn.LayerNorm, eps=1e-5),
        )
        self.bottleneck = nn.BatchNorm1d(dim)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, dim): the class token behind the neck, of unit length."""
        return normalize(self.bottleneck(self.base(images)))


def build(weights: str | Path | None, preset: str) -> Extractor:
    """PMT from an official file. Pictures are Lanczos-resized; infrared ones come as three equal channels."""
    path = weights_file(weights, preset, "pmt")
    return from_tensors(strip_prefix(read_tensors(path)), path)


def from_tensors(tensors: Mapping[str, Tensor], path: str | Path) -> Extractor:
    """PMT with `tensors`, which came from `path`; stride and picture size are told by the position table."""
    if "base.pos_embed" not in tensors:
        raise UserError(f"{path} does not fit: it lacks base.pos_embed; use a file of PMT")
    height, width, stride = recognise_layout(tensors["base.pos_embed"], path)
    network = PMT(height, width, stride)
    load_tensors(network, tensors, path, TRAINING_ONLY)
    preprocessing = Preprocessing(height, width, "lanczos", IMAGENET_MEAN, IMAGENET_STD)
    return Extractor(network, network.feature_dim, preprocessing)
