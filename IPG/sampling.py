"""From noise to latents: what decides a picture, its noise, and the denoising loop."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from diffusers import SchedulerMixin
from torch import Tensor

from pose2id.errors import UserError
from pose2id.presets import Preset
from pose2id.settings.ranges import SEED, Range, check_ranges

from .models import SCHEDULERS, Reference, ReferenceFeatures
from .models.feature_cache import FeatureCache
from .models.fused_attention import PlacedReference
from .models.reference_attention import ProjectedTokens

STEPS = Range(1, 1000)
GUIDANCE = Range(-1000, 1000)
RANGES = {
    "steps": STEPS,
    "guidance_scale": GUIDANCE,
    "guidance_interval": Range(0, 1000),
    "feature_interval": STEPS,
    "seed": SEED,
}

# Latents, timestep, tokens, pose features, reference features -> v-prediction, as `DenoisingUNet.forward`.
Tokens = Tensor | ProjectedTokens
References = Reference | ReferenceFeatures | PlacedReference
Predict = Callable[[Tensor, Tensor, Tokens, Tensor, References | None], Tensor]


@dataclass(frozen=True)
class Sampling:
    """What decides a picture beside its reference, its pose and the weights. `UserError` for values that cannot work.

    guidance_scale: None takes the preset's (sd15: 3.5); <= 1 means no guidance, the conditional prediction alone.
    scheduler: one of `models.SCHEDULERS`. guidance_interval: timesteps (least, most) at which guidance is given;
    elsewhere the conditional prediction stands alone, at half the cost. feature_interval: in how many steps the UNet's
    deep features are computed once. seed: of the noise, with the names of reference and pose (`picture_noise`).
    """

    steps: int = 20
    guidance_scale: float | None = None
    scheduler: str = "ddim"
    guidance_interval: tuple[float, float] = (0, 1000)
    feature_interval: int = 1
    seed: int = 12580

    def __post_init__(self) -> None:
        if self.scheduler not in SCHEDULERS:
            raise UserError(f"scheduler '{self.scheduler}' is unknown; choose one of: {', '.join(SCHEDULERS)}")
        if len(self.guidance_interval) != 2:
            raise UserError(f"guidance_interval is {self.guidance_interval}; it must be two timesteps: least, most")
        check_ranges(self, RANGES)
        least, most = self.guidance_interval
        if least > most:
            raise UserError(f"guidance_interval is from {least:g} to {most:g}; give the least timestep first")

    def for_preset(self, preset: Preset) -> "Sampling":
        """The same with the preset's guidance where none is named."""
        if self.guidance_scale is not None:
            return self
        return replace(self, guidance_scale=preset.generation.guidance_scale)

    @property
    def guided(self) -> bool:
        """Whether there is guidance at all; for a number, see `for_preset`."""
        return self.guidance_scale > 1


DEFAULTS = Sampling()


def picture_noise(seed: int, reference_name: str, pose_name: str, latent_shape: Sequence[int]) -> Tensor:
    """Starting latents (C, h, w) float32 of one picture, the same on every device and in every batch."""
    digest = hashlib.sha256(f"{seed}\n{reference_name}\n{pose_name}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big", signed=True))
    return torch.randn(tuple(latent_shape), generator=generator)


def finite(*tensors: Tensor) -> list[bool]:
    """For each row of tensors (B, ...), whether all of its numbers are finite in all of them."""
    rows = [tensor.flatten(1).isfinite().all(1) for tensor in tensors]
    return torch.stack(rows).all(0).tolist()


def not_finite(dtype: torch.dtype) -> str:
    """What to say of a picture whose numbers stopped being finite in networks of `dtype`."""
    remedy = "float16 overflows: take bfloat16" if dtype == torch.float16 else "check the weights and guidance_scale"
    return f"numbers stopped being finite (NaN or infinite) while drawing; {remedy}"


def denoise(
    unet: Predict,
    solver: SchedulerMixin,
    latents: Tensor,
    pose_features: Tensor,
    tokens: Tokens,
    uncond_tokens: Tokens | None,
    reference: References,
    sampling: Sampling,
) -> Tensor:
    """Noise (B, C, h, w) -> latents (B, C, h, w) float32, with classifier-free guidance (Eq. 4).

    pose features (B or 1, C', h, w), tokens (B or 1, T, token_dim) and the reference, of batch B or 1, are on the
    UNet's device and in its dtype. The unconditional half sees the pose, but neither identity nor reference; its tokens
    are None where there is no guidance.
    sampling: with a number for its guidance, see `Sampling.for_preset`; its seed is not used here.
    """
    solver.set_timesteps(sampling.steps)  # on the CPU, which else would ask a GPU for every number it looks up
    timesteps = solver.timesteps.to(pose_features.device)
    latents = latents.to(pose_features.device, torch.float32) * solver.init_noise_sigma
    every, (least, most) = sampling.feature_interval, sampling.guidance_interval
    conditional, unconditional = (FeatureCache(unet, every) if every > 1 else unet for _ in range(2))
    for t, timestep in zip(solver.timesteps, timesteps, strict=True):
        scaled = solver.scale_model_input(latents, t)
        inputs = scaled.to(pose_features.dtype)
        prediction = conditional(inputs, timestep, tokens, pose_features, reference).float()
        if sampling.guided and least <= t <= most:
            uncond = unconditional(inputs, timestep, uncond_tokens, pose_features, None).float()
            prediction = uncond + sampling.guidance_scale * (prediction - uncond)
        latents = solver.step(prediction, t, latents).prev_sample
    return latents
