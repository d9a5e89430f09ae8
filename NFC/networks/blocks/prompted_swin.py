"""KPR's backbone: a Swin that is told the prompt and the camera, and the fusion of its stages."""

import torch
from timm.layers import PatchEmbed
from timm.models.swin_transformer_v2 import SwinTransformerV2
from torch import Tensor, nn
from torch.nn.functional import interpolate

from ..base import camera_rows
from .part_network import stack_scales
from .prompts import CHANNELS
from .swin import SoliderSwin, SwinV2

SIE_SCALE = 3.0  # weight of the camera embedding
FUSED = 1024  # channels after the stages are fused


class PromptedSwin(nn.Module):
    """A Swin whose tokens get those of the prompt and, with cameras, a camera embedding before the first stage."""

    def __init__(self, model: SwinV2 | SoliderSwin, num_cameras: int) -> None:
        super().__init__()
        size, dim = model.patch_embed.img_size, model.patch_embed.proj.out_channels
        self.masks_patch_embed = PatchEmbed(
            size, 4, in_chans=CHANNELS, embed_dim=dim, norm_layer=nn.LayerNorm, output_fmt="NHWC"
        )
        self.model = model
        self.parts_embed = nn.Parameter(torch.zeros(CHANNELS, 1, dim))  # in the files, not used
        self.sie_embed = nn.Parameter(torch.randn(num_cameras, 1, dim) * 0.02) if num_cameras else None
        if isinstance(model, SwinTransformerV2):
            self.norm = nn.LayerNorm(model.channels)  # in the file, not used

    def forward(self, pictures: Tensor, camids: Tensor | None, prompts: Tensor | None) -> list[Tensor]:
        """(B, 3, H, W) -> the four stages' maps."""
        prompts = empty_prompts(pictures) if prompts is None else prompts.to(pictures.dtype)
        if prompts.shape[2:] != pictures.shape[2:]:
            prompts = interpolate(prompts, pictures.shape[2:], mode="bilinear", align_corners=True)
        tokens = self.model.patch_embed(pictures) + self.masks_patch_embed(prompts)  # (B, H/4, W/4, dim)
        if self.sie_embed is not None and camids is not None:
            tokens = tokens + SIE_SCALE * camera_rows(self.sie_embed, camids)[:, :, None]
        return self.model.stage_maps(tokens)


class StageFusion(nn.Module):
    """Four maps -> one of the finest size, (B, 1024, h, w)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.dim_reduce = nn.Module()
        self.dim_reduce.layers = nn.Sequential(nn.Conv2d(channels, FUSED, 1), nn.BatchNorm2d(FUSED), nn.ReLU())

    def forward(self, maps: list[Tensor]) -> Tensor:
        return self.dim_reduce.layers(stack_scales(maps))


def empty_prompts(pictures: Tensor) -> Tensor:
    """The prompt that says nothing, (B, 8, H, W): everything is background. It is what generated pictures get."""
    prompts = pictures.new_zeros(len(pictures), CHANNELS, *pictures.shape[2:])
    prompts[:, 0] = 1
    return prompts
