"""Denoising UNet: diffusers' UNet that sees a pose, identity tokens and a reference picture."""

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from .fused_attention import PlacedReference
from .reference_attention import (
    ProjectedTokens,
    Reference,
    ReferenceFeatures,
    ReferenceReader,
    set_reference_processors,
)


class PosedConv2d(nn.Conv2d):
    """A convolution of the first `in_channels` channels, to whose output the remaining channels are added."""

    def forward(self, latents_and_pose: Tensor) -> Tensor:
        """(B, in_channels + out_channels, h, w) -> (B, out_channels, h, w)."""
        latents, pose = latents_and_pose.split([self.in_channels, self.out_channels], dim=1)
        return super().forward(latents) + pose


class DenoisingUNet(UNet2DConditionModel):
    """Takes `UNet2DConditionModel` sizes; its tensor names are the stock ones."""

    def __init__(self, **sizes) -> None:
        super().__init__(**sizes)
        stock = self.conv_in
        self.conv_in = PosedConv2d(stock.in_channels, stock.out_channels, stock.kernel_size, padding=stock.padding)
        set_reference_processors(self, ReferenceReader)

    def forward(
        self,
        latents: Tensor,
        timesteps: Tensor | int,
        tokens: Tensor | ProjectedTokens,
        pose_features: Tensor,
        reference: Reference | ReferenceFeatures | PlacedReference | None = None,
    ) -> Tensor:
        """One prediction (Pose2ID, arXiv 2503.00938, Eq. 4).

        latents (B, C, h, w); timesteps (B,) or one; identity tokens (B or 1, T, token_dim); pose features
        (B or 1, block_out_channels[0], h, w); reference features as `ReferenceUNet` returns them, of batch B or 1, with
        weights where there are several pictures or rows that see none; None for the unconditional branch. Of both there
        are forms that are prepared for many steps, see `fused_attention`.
        Returns (B, C, h, w).
        """
        batch = len(latents)
        if isinstance(reference, dict):
            reference = Reference(reference)
        plain = isinstance(tokens, Tensor)
        return super().forward(
            torch.cat([latents, pose_features.expand(batch, -1, -1, -1)], dim=1),
            timesteps,
            tokens.expand(batch, -1, -1) if plain else None,
            cross_attention_kwargs={"reference": reference, "identity": None if plain else tokens},
            return_dict=False,
        )[0]
