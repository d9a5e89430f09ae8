"""The networks of the generator, and one build function each: only these see a preset."""

from dataclasses import asdict

from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    SchedulerMixin,
    UniPCMultistepScheduler,
)

from pose2id.presets import Preset

from .denoising_unet import DenoisingUNet
from .ifr import IFR
from .pose_guider import PoseGuider
from .reference_attention import ReferenceFeatures, project_reference, stack_references
from .reference_unet import ReferenceUNet
from .vae import VAE, build_vae, decode_latents, encode_pictures

__all__ = [
    "BUILDERS",
    "IFR",
    "SCHEDULERS",
    "VAE",
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
    "decode_latents",
    "encode_pictures",
    "project_reference",
    "stack_references",
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


# Weights file of the official release -> how its network is built from a preset.
BUILDERS = {
    "IFR": build_ifr,
    "pose_guider": build_pose_guider,
    "reference_unet": build_reference_unet,
    "denoising_unet": build_denoising_unet,
}
