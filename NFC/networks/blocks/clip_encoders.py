"""CLIP's image encoders as CLIP-ReID uses them, on timm's modules: (hidden vector, its projection) of each picture."""

from collections.abc import Sequence
from functools import partial

import torch
from timm.models import VisionTransformer
from timm.models.byobnet import ByoBlockCfg, ByobNet, ByoModelCfg
from torch import Tensor, nn

from ..looks import Look, energy_look
from .vit import PATCH, OverlapPatches, class_look


class ClipViT(VisionTransformer):
    """A pre-normed ViT with QuickGELU and patches of 16 pixels every `stride`."""

    def __init__(
        self, height: int, width: int, stride: int, dim: int, depth: int, heads: int, *, projection: int
    ) -> None:
        super().__init__(
            (height, width),
            PATCH,
            embed_layer=partial(OverlapPatches, stride=stride),
            embed_dim=dim,
            depth=depth,
            num_heads=heads,
            num_classes=0,
            pre_norm=True,
            act_layer="quick_gelu",
            norm_layer=partial(nn.LayerNorm, eps=1e-5),
        )
        self.head = nn.Linear(dim, projection, bias=False)

    def forward(self, pictures: Tensor, sides: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(B, 3, H, W), and (B, dim) to add to the class tokens -> (B, dim), (B, projection)."""
        class_token = self.cls_token.expand(len(pictures), -1, -1)  # (B, 1, dim)
        if sides is not None:
            class_token = class_token + sides[:, None]
        tokens = torch.cat([class_token, self.patch_embed(pictures)], dim=1) + self.pos_embed
        hidden = self.norm(self.blocks(self.norm_pre(tokens))[:, 0])
        return hidden, self.head(hidden)

    def explain(self, pictures: Tensor) -> list[Look]:
        """Of one picture (1, 3, H, W)."""
        return [class_look(self.blocks[-1], self.patch_embed, pictures, self)]


class ClipResNet(ByobNet):
    """CLIP's ResNet with stride 1 in the last stage and attention pooling; `channels` leave the stem."""

    def __init__(self, height: int, width: int, depths: Sequence[int], channels: int, projection: int) -> None:
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
        super().__init__(config, num_classes=projection, img_size=(height, width))
        self.num_features = outputs[-1]

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, H, W) -> (B, channels of the last stage), (B, projection)."""
        maps = self.forward_features(pictures)
        return maps.mean((2, 3)), self.head(maps)

    def explain(self, pictures: Tensor) -> list[Look]:
        """Of one picture (1, 3, H, W)."""
        return [energy_look(self.forward_features(pictures)[0])]
