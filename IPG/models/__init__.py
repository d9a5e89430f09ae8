"""The networks of the generator, and one build function each: only these see a preset."""

from dataclasses import asdict

from diffusers import AutoencoderKL, DDIMScheduler

from ..presets import Preset
from .denoising_unet import DenoisingUNet
from .ifr import IFR
from .pose_guider import PoseGuider
from .reference_attention import ReferenceFeatures, project_reference
from .reference_unet import ReferenceUNet

__all__ = [
    "IFR",
    "DenoisingUNet",
    "PoseGuider",
    "ReferenceFeatures",
    "ReferenceUNet",
    "build_denoising_unet",
    "build_ifr",
    "build_pose_guider",
    "build_reference_unet",
    "build_scheduler",
    "build_vae",
    "project_reference",
]


def build_ifr(preset: Preset) -> IFR:
    return IFR(preset.reid.feature_dim, preset.ifr.num_tokens, preset.unet.cross_attention_dim)


def build_pose_guider(preset: Preset) -> PoseGuider:
    return PoseGuider(preset.pose_guider.widths, preset.unet.block_out_channels[0])


def build_reference_unet(preset: Preset) -> ReferenceUNet:
    return ReferenceUNet(**asdict(preset.unet))


def build_denoising_unet(preset: Preset) -> DenoisingUNet:
    return DenoisingUNet(**asdict(preset.unet))


def build_vae(preset: Preset) -> AutoencoderKL:
    """The picture autoencoder; its `config.scaling_factor` is what latents are multiplied by."""
    blocks = len(preset.vae.block_out_channels)
    return AutoencoderKL(
        down_block_types=["DownEncoderBlock2D"] * blocks,
        up_block_types=["UpDecoderBlock2D"] * blocks,
        **asdict(preset.vae),
    )


def build_scheduler(preset: Preset) -> DDIMScheduler:
    """DDIM with zero terminal SNR, v-prediction and trailing steps (999, 949, ..., 49 for 20 of them)."""
    return DDIMScheduler(
        beta_schedule="scaled_linear",
        clip_sample=False,
        steps_offset=1,
        prediction_type="v_prediction",
        timestep_spacing="trailing",
        rescale_betas_zero_snr=True,
        **asdict(preset.scheduler),
    )
