"""The picture autoencoder: Stable Diffusion's `AutoencoderKL`, or the lighter `AutoencoderDC` of preset mini.

`AutoencoderTiny` (TAESD) knows the latents of the first and stands in for it at a fraction of the work.
"""

from diffusers import AutoencoderDC, AutoencoderKL, AutoencoderTiny
from PIL import Image
from torch import Tensor

from pose2id.pictures import picture_tensor
from pose2id.presets import GenerationSizes, VAESizes

VAE = AutoencoderKL | AutoencoderDC | AutoencoderTiny
VAE_KINDS = {"kl": (AutoencoderKL, AutoencoderTiny), "dc": (AutoencoderDC,)}  # of a preset: its own, then stand-ins


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


def vae_input(picture: Image.Image, sizes: GenerationSizes) -> Tensor:
    """A picture as the autoencoder takes it: (3, height, width) float32 in [-1, 1], of the size at work."""
    return picture_tensor(picture, sizes.height, sizes.width) * 2 - 1


def decoded_pixels(decoded: Tensor) -> Tensor:
    """What the autoencoder gives, (B, 3, H, W) about [-1, 1] -> (B, H, W, 3) uint8 RGB on the CPU."""
    return ((decoded.float() / 2 + 0.5).clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).cpu()


def picture_of(pixels: Tensor, sizes: GenerationSizes) -> Image.Image:
    """One of `decoded_pixels`, (H, W, 3), as a picture of the size handed out."""
    size = sizes.output_width, sizes.output_height
    return Image.fromarray(pixels.numpy()).resize(size, Image.Resampling.BICUBIC)


def encode_pictures(vae: VAE, pictures: Tensor) -> Tensor:
    """(B, 3, H, W) in [-1, 1] -> scaled latents (B, C, h, w): the posterior's mean."""
    encoded = vae.encode(pictures)
    if isinstance(vae, AutoencoderTiny):
        latents = encoded.latents
    else:
        latents = encoded.latent if isinstance(vae, AutoencoderDC) else encoded.latent_dist.mean
    return latents * vae.config.scaling_factor


def decode_latents(vae: VAE, latents: Tensor) -> Tensor:
    """Scaled latents (B, C, h, w) -> (B, 3, H, W), about [-1, 1]."""
    return vae.decode(latents / vae.config.scaling_factor).sample
