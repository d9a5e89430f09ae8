"""The picture autoencoder: Stable Diffusion's `AutoencoderKL`, or the lighter `AutoencoderDC` of preset mini."""

from diffusers import AutoencoderDC, AutoencoderKL
from torch import Tensor

from pose2id.presets import VAESizes

VAE = AutoencoderKL | AutoencoderDC


def build_vae(sizes: VAESizes) -> VAE:
    """A new autoencoder; its `config.scaling_factor` is what latents are multiplied by."""
    widths, blocks = sizes.block_out_channels, len(sizes.block_out_channels)
    if sizes.kind == "kl":
        return AutoencoderKL(
            down_block_types=["DownEncoderBlock2D"] * blocks,
            up_block_types=["UpDecoderBlock2D"] * blocks,
            block_out_channels=widths,
            layers_per_block=sizes.layers_per_block[0],
            latent_channels=sizes.latent_channels,
            norm_num_groups=sizes.norm_num_groups,
            scaling_factor=sizes.scaling_factor,
        )
    return AutoencoderDC(
        latent_channels=sizes.latent_channels,
        encoder_block_out_channels=widths,
        decoder_block_out_channels=widths,
        encoder_layers_per_block=sizes.layers_per_block,
        decoder_layers_per_block=sizes.layers_per_block,
        encoder_qkv_multiscales=[()] * blocks,
        decoder_qkv_multiscales=[()] * blocks,
        encoder_out_shortcut=False,
        decoder_in_shortcut=False,
        scaling_factor=sizes.scaling_factor,
    )


def encode_pictures(vae: VAE, pictures: Tensor) -> Tensor:
    """(B, 3, H, W) in [-1, 1] -> scaled latents (B, C, h, w): the posterior's mean."""
    encoded = vae.encode(pictures)
    latents = encoded.latent if isinstance(vae, AutoencoderDC) else encoded.latent_dist.mean
    return latents * vae.config.scaling_factor


def decode_latents(vae: VAE, latents: Tensor) -> Tensor:
    """Scaled latents (B, C, h, w) -> (B, 3, H, W), about [-1, 1]."""
    return vae.decode(latents / vae.config.scaling_factor).sample
