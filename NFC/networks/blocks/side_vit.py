"""TransReID's backbone: a ViT whose tokens are told the camera and the view of the picture."""

from functools import partial

import torch
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from pose2id.presets import TransReIDSizes

from ..base import NO_CAMERA, camera_rows
from .vit import OverlapPatches

SIE_SCALE = 3.0  # weight of the side-information embedding

LayerNorm = partial(nn.LayerNorm, eps=1e-6)


class SideInformationViT(nn.Module):
    """The backbone up to its last block, which is left to the branches."""

    def __init__(self, sizes: TransReIDSizes) -> None:
        super().__init__()
        dim = sizes.dim
        self.num_views = max(sizes.num_views, 1)
        sides = max(sizes.num_cameras, 1) * self.num_views
        self.patch_embed = OverlapPatches((sizes.height, sizes.width), sizes.patch, dim, sizes.stride)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, self.patch_embed.num_patches + 1, dim))
        self.sie_embed = nn.Parameter(torch.zeros(sides, 1, dim)) if sides > 1 else None
        self.blocks = nn.ModuleList(
            Block(dim, sizes.heads, sizes.mlp_ratio, qkv_bias=True, norm_layer=LayerNorm) for _ in range(sizes.depth)
        )
        self.norm = LayerNorm(dim)
        self.fc = nn.Linear(dim, sizes.fc_classes) if sizes.fc_classes else None

    def forward(self, pictures: Tensor, camids: Tensor | None = None, viewids: Tensor | None = None) -> Tensor:
        """(B, 3, H, W) -> (B, 1 + N, dim): class token and patch tokens before the last block."""
        tokens = self.patch_embed(pictures)  # (B, N, dim)
        tokens = torch.cat([self.cls_token.expand(len(tokens), -1, -1), tokens], dim=1) + self.pos_embed
        if self.sie_embed is not None and not (camids is None and viewids is None):
            tokens = tokens + SIE_SCALE * camera_rows(self.sie_embed, self._sides(camids, viewids))
        for block in self.blocks[:-1]:
            tokens = block(tokens)
        return tokens

    def _sides(self, camids: Tensor | None, viewids: Tensor | None) -> Tensor:
        """Rows of the embedding (B,): cameras vary slowest; a picture without a camera has none."""
        if camids is None:
            return viewids
        rows = camids * self.num_views + (0 if viewids is None else viewids)
        return torch.where(camids == NO_CAMERA, NO_CAMERA, rows)
