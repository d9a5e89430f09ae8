"""The networks of the generator, and one build function each: only these see a preset."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import NamedTuple

from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    SchedulerMixin,
    UniPCMultistepScheduler,
)
from torch import nn

from pose2id.presets import Preset

from .denoising_unet import DenoisingUNet
from .ifr import IFR
from .pose_guider import PoseGuider
from .reference_attention import Reference, ReferenceFeatures, project_reference, stack_references
from .reference_unet import ReferenceUNet
from .vae import VAE, VAE_KINDS, build_vae, decode_latents, decoded_pixels, encode_pictures, picture_of, vae_input

__all__ = [
    "IFR",
    "NETWORKS",
    "SCHEDULERS",
    "VAE",
    "VAE_KINDS",
    "DenoisingUNet",
    "PoseGuider",
    "Reference",
    "ReferenceFeatures",
    "ReferenceUNet",
    "build_denoising_unet",
    "build_ifr",
    "build_pose_guider",
    "build_reference_unet",
    "build_scheduler",
    "build_vae",
    "decode_latents",
    "decoded_pixels",
    "encode_pictures",
    "named_parts",
    "picture_of",
    "project_reference",
    "stack_references",
    "vae_input",
]


def build_ifr(preset: Preset) -> IFR:
    return IFR(preset.reid.feature_dim, preset.ifr.num_tokens, preset.unet.cross_attention_dim)


def build_pose_guider(preset: Preset) -> PoseGuider:
    return PoseGuider(preset.pose_guider.widths, preset.unet.block_out_channels[0])


def build_reference_unet(preset: Preset) -> ReferenceUNet:
    return ReferenceUNet(**asdict(preset.unet))


def build_denoising_unet(preset: Preset) -> DenoisingUNet:
    return DenoisingUNet(**asdict(preset.unet))


SCHEDULERS = {
    "ddim": DDIMScheduler,
    "dpm++": DPMSolverMultistepScheduler,
    "unipc": UniPCMultistepScheduler,
    "euler": EulerDiscreteScheduler,
}


def build_scheduler(preset: Preset, kind: str = "ddim") -> SchedulerMixin:
    """DDIM with zero terminal SNR, v-prediction and trailing steps (999, 949, ..., 49 for 20 of them).

    kind: one of `SCHEDULERS`; the others solve the same equation and need fewer steps.
    """
    ddim = DDIMScheduler(
        beta_schedule="scaled_linear",
        clip_sample=False,
        steps_offset=1,
        prediction_type="v_prediction",
        timestep_spacing="trailing",
        rescale_betas_zero_snr=True,
        **asdict(preset.scheduler),
    )
    return SCHEDULERS[kind].from_config(ddim.config)


class Network(NamedTuple):
    """A network that can be trained: its attribute of `IPGPipeline` and name in configs, and its builder."""

    attribute: str
    build: Callable[[Preset], nn.Module]


# By weights file of the official release.
NETWORKS = {
    "IFR": Network("ifr", build_ifr),
    "pose_guider": Network("pose_guider", build_pose_guider),
    "reference_unet": Network("reference_unet", build_reference_unet),
    "denoising_unet": Network("denoising_unet", build_denoising_unet),
}


def named_parts(networks: Mapping[str, nn.Module]) -> dict[str, nn.Module]:
    """Networks by file stem -> the arguments of `IPGPipeline` that they are."""
    return {NETWORKS[stem].attribute: network for stem, network in networks.items()}
