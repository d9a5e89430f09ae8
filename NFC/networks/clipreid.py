"""CLIP-ReID (Li et al., AAAI 2023): the image encoder of CLIP, a ViT-B or a ResNet-50, on timm's modules.

The test feature is taken before the necks: [last hidden vector | its projection into CLIP's space].
"""

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import torch
from timm.models.byobnet import ByoBlockCfg, ByobNet, ByoModelCfg
from torch import Tensor, nn

from pose2id.errors import UserError
from pose2id.weights import load_tensors, read_tensors, strip_prefix, weights_file

from .base import HALF, IMAGENET_MEAN, IMAGENET_STD, Extractor, Preprocessing, camera_rows
from .blocks.vit import overlapping_vit, recognise_layout

TRAINING_ONLY = ("classifier", "bottleneck", "prompt_learner.", "text_encoder.")
ENCODER = "image_encoder."  # official prefix of what is used at test time

# Official name -> timm's, in this order.
VIT_NAMES = (
    (r"^conv1\.", "patch_embed.proj."),
    (r"^class_embedding$", "cls_token"),
    (r"^positional_embedding$", "pos_embed"),
    (r"^ln_pre\.", "norm_pre."),
    (r"^ln_post\.", "norm."),
    (r"^proj$", "head.weight"),
    (r"^transformer\.resblocks\.", "blocks."),
    (r"\.ln_([12])\.", r".norm\1."),
    (r"\.attn\.in_proj_", ".attn.qkv."),
    (r"\.attn\.out_proj\.", ".attn.proj."),
    (r"\.mlp\.c_fc\.", ".mlp.fc1."),
    (r"\.mlp\.c_proj\.", ".mlp.fc2."),
)
RESNET_NAMES = (
    (r"\.downsample\.0\.", ".shortcut.conv.conv."),
    (r"\.downsample\.1\.", ".shortcut.conv.bn."),
    (r"\.(conv|bn)1\.", r".conv1_1x1.\1."),
    (r"\.(conv|bn)2\.", r".conv2_kxk.\1."),
    (r"\.(conv|bn)3\.", r".conv3_1x1.\1."),
    (r"^conv(\d)\.", r"stem.conv\1.conv."),
    (r"^bn(\d)\.", r"stem.conv\1.bn."),
    (r"^layer1\.", "stages.0."),
    (r"^layer2\.", "stages.1."),
    (r"^layer3\.", "stages.2."),
    (r"^layer4\.", "stages.3."),
    (r"^attnpool\.positional_embedding$", "head.pos_embed"),
    (r"^attnpool\.c_proj\.", "head.proj."),
    (r"^attnpool\.([qkv])_proj\.", r"head.\1."),
)


class ClipReIDViT(nn.Module):
    """A pre-normed ViT with QuickGELU; `cameras` > 0 adds a learned row to the class token (SIE)."""

    def __init__(
        self,
        height: int = 256,
        width: int = 128,
        stride: int = 16,
        dim: int = 768,
        depth: int = 12,
        heads: int = 12,
        projection: int = 512,
        cameras: int = 0,
    ) -> None:
        super().__init__()
        self.feature_dim = dim + projection
        self.encoder = overlapping_vit(
            height,
            width,
            stride,
            embed_dim=dim,
            depth=depth,
            num_heads=heads,
            num_classes=0,
            pre_norm=True,
            act_layer="quick_gelu",
            norm_layer=partial(nn.LayerNorm, eps=1e-5),
        )
        self.encoder.head = nn.Linear(dim, projection, bias=False)
        self.cv_embed = nn.Parameter(torch.zeros(cameras, dim)) if cameras else None

    def forward(self, images: Tensor, camids: Tensor | None = None) -> Tensor:
        """(B, 3, H, W) and, with cameras, camids (B,) or None for generated pictures -> (B, dim + projection)."""
        encoder = self.encoder
        class_token = encoder.cls_token.expand(len(images), -1, -1)  # (B, 1, dim)
        if self.cv_embed is not None and camids is not None:
            class_token = class_token + camera_rows(self.cv_embed, camids)[:, None]
        tokens = torch.cat([class_token, encoder.patch_embed(images)], dim=1) + encoder.pos_embed
        hidden = encoder.norm(encoder.blocks(encoder.norm_pre(tokens))[:, 0])
        return torch.cat([hidden, encoder.head(hidden)], dim=1)


class ClipReIDResNet(nn.Module):
    """CLIP's ResNet with stride 1 in the last stage and attention pooling; `channels` leave the stem."""

    def __init__(
        self,
        height: int = 256,
        width: int = 128,
        depths: tuple[int, ...] = (3, 4, 6, 3),
        channels: int = 64,
        projection: int = 1024,
    ) -> None:
        super().__init__()
        strides, outputs = (1, 2, 2, 1), [channels * 4 * 2**stage for stage in range(4)]
        config = ByoModelCfg(
            blocks=tuple(
                ByoBlockCfg(type="bottle", d=depth, c=out, s=stride, br=0.25)
                for depth, out, stride in zip(depths, outputs, strides, strict=True)
            ),
            stem_chs=(channels // 2, channels // 2, channels),
            stem_type="",
            stem_pool="avg2",
            downsample="avg",
            aa_layer="avg",
            head_type="attn_abs",
        )
        self.feature_dim = outputs[-1] + projection
        self.encoder = ByobNet(config, num_classes=projection, img_size=(height, width))

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, channels of the last stage + projection)."""
        maps = self.encoder.forward_features(images)
        return torch.cat([maps.mean((2, 3)), self.encoder.head(maps)], dim=1)


def translate(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Official names and layouts -> those of the modules above; training-only tensors keep their names."""
    names = VIT_NAMES if f"{ENCODER}class_embedding" in tensors else RESNET_NAMES
    translated = {}
    for name, tensor in tensors.items():
        if name.startswith(ENCODER):
            name = name.removeprefix(ENCODER)
            for official, ours in names:
                name = re.sub(official, ours, name)
            name = f"encoder.{name}"
        if name == "encoder.cls_token":
            tensor = tensor.view(1, 1, -1)
        elif name == "encoder.pos_embed":
            tensor = tensor.unsqueeze(0)
        elif name == "encoder.head.weight":
            tensor = tensor.T
        translated[name] = tensor
    return translated


def build(weights: str | Path | None, preset: str) -> Extractor:
    """CLIP-ReID of the variant in the file: ViT, ViT with cameras and overlapping patches (SIE-OLP), or RN50."""
    path = weights_file(weights, preset, "clipreid")
    return from_tensors(translate(strip_prefix(read_tensors(path))), path)


def from_tensors(tensors: Mapping[str, Tensor], path: str | Path) -> Extractor:
    """CLIP-ReID of the variant that the translated `tensors`, which came from `path`, belong to."""
    is_vit = "encoder.pos_embed" in tensors
    positions = tensors.get("encoder.pos_embed" if is_vit else "encoder.head.pos_embed")
    if positions is None:
        raise UserError(f"{path} does not fit: it holds no image encoder of CLIP-ReID; use a file of CLIP-ReID")
    height, width, stride = recognise_layout(positions, path)
    if is_vit:
        network = ClipReIDViT(height, width, stride, cameras=len(tensors.get("cv_embed", ())))
        preprocessing = Preprocessing(height, width, "bilinear", HALF, HALF)
    else:
        network = ClipReIDResNet(height, width)
        preprocessing = Preprocessing(height, width, "bilinear", IMAGENET_MEAN, IMAGENET_STD)
    load_tensors(network, tensors, path, TRAINING_ONLY)
    return Extractor(network, network.feature_dim, preprocessing, uses_camids="cv_embed" in tensors)
