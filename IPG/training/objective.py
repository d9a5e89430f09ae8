"""Eq. 6: the loss of the generator."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from diffusers import DDIMScheduler
from torch import Tensor, nn

from pose2id.settings.ranges import SHARE, Range, check_ranges

from ..models import IFR, DenoisingUNet, PoseGuider, Reference, ReferenceFeatures, ReferenceUNet

RANGES = {
    "uncond_ratio": SHARE,
    "noise_offset": Range(0, 100),
    "snr_gamma": Range(0, 1e6),
    "timestep_shift": Range(0, 1000, above=True),
}


@dataclass
class ObjectiveConfig:
    """uncond_ratio: share of references replaced by the unconditional branch. snr_gamma: min-SNR weight, 0 for none.

    timestep_shift: above 1 trains noisy timesteps more often, where pose and direction are decided; 1 is uniform.
    """

    uncond_ratio: float = 0.1
    noise_offset: float = 0.05
    snr_gamma: float = 5.0
    timestep_shift: float = 1.0

    def __post_init__(self) -> None:
        check_ranges(self, RANGES, "objective")


def min_snr_weight(alphas_cumprod: Tensor, timesteps: Tensor, gamma: float) -> Tensor:
    """Min-SNR weight of a v-prediction loss: min(snr, gamma) / (snr + 1), (B,) (Hang et al., 2023).

    Pure noise (snr 0, the first step of sampling) would never be learnt by that formula; its weight is 1.
    """
    alpha = alphas_cumprod[timesteps]
    snr = alpha / (1 - alpha)
    return torch.where(snr > 0, snr.clamp(max=gamma) / (snr + 1), 1.0)


def shift_timesteps(timesteps: Tensor, count: int, shift: float) -> Tensor:
    """Uniform timesteps of 0..count-1 moved towards noise: u -> s u / (1 + (s - 1) u) (Esser et al., 2024)."""
    share = timesteps / (count - 1)
    return (shift * share / (1 + (shift - 1) * share) * (count - 1)).round().long()


class LearningNetworks(nn.Module):
    """The networks of a generator in training; what is learnt is said by those who inherit."""

    def __init__(
        self, ifr: IFR, pose_guider: PoseGuider, reference_unet: ReferenceUNet, denoising_unet: DenoisingUNet
    ) -> None:
        super().__init__()
        self.ifr, self.pose_guider = ifr, pose_guider
        self.reference_unet, self.denoising_unet = reference_unet, denoising_unet

    def see_references(self, latents: Tensor, tokens: Tensor, targets: int) -> ReferenceFeatures:
        """References (R, n, C, h, w), tokens (R, T, token_dim) -> what is kept: (R * targets, n * N, dim) by block."""
        count = latents.shape[1]
        kept = self.reference_unet(latents.flatten(0, 1), tokens.repeat_interleave(count, 0))
        return {
            name: value.unflatten(0, (-1, count)).flatten(1, 2).repeat_interleave(targets, 0)
            for name, value in kept.items()
        }


class IPGObjective(LearningNetworks):
    """The trainable networks and their loss (Pose2ID, arXiv 2503.00938, Eq. 6, as v-prediction)."""

    def __init__(
        self,
        ifr: IFR,
        pose_guider: PoseGuider,
        reference_unet: ReferenceUNet,
        denoising_unet: DenoisingUNet,
        scheduler: DDIMScheduler,
        config: ObjectiveConfig,
    ) -> None:
        super().__init__(ifr, pose_guider, reference_unet, denoising_unet)
        self.scheduler, self.config = scheduler, config

    def forward(self, batch: dict[str, Tensor], generators: list[torch.Generator]) -> tuple[Tensor, dict[str, float]]:
        """One loss.

        batch holds R people with n references and K targets each: reference_latents (R, n, C, h, w) and their weights
        reference_weights (R, n), see `Reference`; features (R, F), uncond_feature (F,), target_latents (R, K, C, h, w),
        poses (R, K, 3, H, W) in [0, 1]. generators: R, on the CPU; what is drawn for a person comes from its own.
        """
        target = batch["target_latents"]
        poses = target.shape[1]
        chances = torch.cat([torch.rand(1, generator=generator) for generator in generators])
        dropped = chances.to(target.device) < self.config.uncond_ratio  # (R,)
        features = torch.where(dropped[:, None], batch["uncond_feature"], batch["features"])
        tokens = self.ifr(features)  # (R, T, token_dim)
        kept = self.see_references(batch["reference_latents"], tokens, poses)

        timesteps, noise = self._draw(target, generators)
        latents = target.flatten(0, 1)  # (R * K, C, h, w)
        noisy = self.scheduler.add_noise(latents, noise, timesteps)
        predicted = self.denoising_unet(
            noisy,
            timesteps,
            tokens.repeat_interleave(poses, 0),
            self.pose_guider(batch["poses"].flatten(0, 1)),
            Reference(
                kept,
                (batch["reference_weights"] * ~dropped[:, None]).repeat_interleave(poses, 0),
            ),
        )
        velocity = self.scheduler.get_velocity(latents, noise, timesteps)
        error = F.mse_loss(predicted.float(), velocity, reduction="none").mean((1, 2, 3))
        if self.config.snr_gamma:
            error = error * min_snr_weight(self.scheduler.alphas_cumprod.to(error), timesteps, self.config.snr_gamma)
        return error.mean(), {}

    def _draw(self, target: Tensor, generators: list[torch.Generator]) -> tuple[Tensor, Tensor]:
        """Timesteps (R * K,) and noise (R * K, C, h, w), with an offset for each picture and channel."""
        count, shape = self.scheduler.config.num_train_timesteps, target.shape[1:]
        timesteps, noise = [], []
        for generator in generators:
            timesteps.append(torch.randint(count, shape[:1], generator=generator))
            offset = self.config.noise_offset * torch.randn(*shape[:2], 1, 1, generator=generator)
            noise.append(torch.randn(shape, generator=generator) + offset)
        shifted = shift_timesteps(torch.cat(timesteps), count, self.config.timestep_shift)
        return shifted.to(target.device), torch.cat(noise).to(target)
