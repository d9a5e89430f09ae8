"""A student that draws in a few steps, without guidance, what its teacher draws in many with it.

Progressive distillation (Salimans and Ho, arXiv 2202.00512) of a guided teacher (Meng et al., arXiv 2210.03142): a step
of the student learns where several guided DDIM steps of the teacher lead. Without noise of its own DDIM is a map from
noise to picture, so what is wanted is one picture, not a mean of many, and comes out as sharp as the teacher's. Ours
is one stage from many steps to few, where the papers halve again and again: with few steps to learn it is cheaper.
"""

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
import torch.nn.functional as F
from diffusers import DDIMScheduler
from torch import Tensor

from pose2id.errors import UserError
from pose2id.presets import Preset
from pose2id.settings.ranges import check_ranges

from ..models import IFR, DenoisingUNet, PoseGuider, Reference, ReferenceUNet
from ..sampling import GUIDANCE, STEPS
from .objective import LearningNetworks


@dataclass
class DistillationConfig:
    """steps: of the student, without guidance. teacher_steps: of the teacher, a multiple of them.

    guidance_scale: of the teacher; None takes the preset's.
    """

    RANGES: ClassVar = {"steps": STEPS, "teacher_steps": STEPS, "guidance_scale": GUIDANCE}

    steps: int = 4
    teacher_steps: int = 20
    guidance_scale: float | None = None

    def __post_init__(self) -> None:
        check_ranges(self, self.RANGES, "distillation")
        if self.teacher_steps % self.steps:
            raise UserError(
                f"distillation.teacher_steps {self.teacher_steps} is no multiple of distillation.steps {self.steps}"
            )

    def for_preset(self, preset: Preset) -> "DistillationConfig":
        """The same with the preset's guidance where none is named."""
        if self.guidance_scale is not None:
            return self
        return replace(self, guidance_scale=preset.generation.guidance_scale)


@dataclass(frozen=True)
class Conditions:
    """What N pictures are drawn by: tokens (N, T, dim), pose features (N, C, h, w), references of batch N."""

    tokens: Tensor
    uncond_tokens: Tensor  # (1, T, dim)
    poses: Tensor
    reference: Reference


class Distillation(LearningNetworks):
    """The student's loss. Of its networks only the denoising UNet learns; the others serve the teacher as well."""

    def __init__(
        self,
        ifr: IFR,
        pose_guider: PoseGuider,
        reference_unet: ReferenceUNet,
        denoising_unet: DenoisingUNet,
        teacher: DenoisingUNet,
        scheduler: DDIMScheduler,
        config: DistillationConfig,
    ) -> None:
        """config: with a number for the guidance, see `DistillationConfig.for_preset`."""
        super().__init__(ifr, pose_guider, reference_unet, denoising_unet)
        self.teacher, self.config = teacher.eval().requires_grad_(False), config
        count = scheduler.config.num_train_timesteps
        kept = torch.cat([torch.ones(1), scheduler.alphas_cumprod])  # index t + 1: at 0 stands the picture itself
        self.register_buffer("signal", kept.sqrt(), persistent=False)
        self.register_buffer("noise", (1 - kept).sqrt(), persistent=False)
        self.register_buffer("times", trailing_times(count, config.teacher_steps), persistent=False)

    def forward(self, batch: dict[str, Tensor], generators: list[torch.Generator]) -> tuple[Tensor, dict[str, float]]:
        """One loss; batch and generators as those of `IPGObjective`."""
        target = batch["target_latents"]
        with torch.no_grad():
            conditions = self._conditions(batch)
            starts, noise = self._draw(target, generators)
            first = self.times[starts]
            noisy = self._at(self.signal, first) * target.flatten(0, 1) + self._at(self.noise, first) * noise
            reached = self._teach(noisy, starts, conditions)
            last = self.times[starts + self.stride]
            wanted = self._velocity(noisy, reached, first, last)
        predicted = self.denoising_unet(noisy, first, conditions.tokens, conditions.poses, conditions.reference).float()
        error = F.mse_loss(predicted, wanted, reduction="none").mean((1, 2, 3))
        return error.mean(), {}

    @property
    def stride(self) -> int:
        """Steps of the teacher in one of the student."""
        return self.config.teacher_steps // self.config.steps

    def _conditions(self, batch: dict[str, Tensor]) -> Conditions:
        poses = batch["poses"]
        tokens = self.ifr(batch["features"])
        count, weights = poses.shape[1], batch["reference_weights"]
        features = self.see_references(batch["reference_latents"], tokens, count)
        return Conditions(
            tokens.repeat_interleave(count, 0),
            self.ifr(batch["uncond_feature"][None]),
            self.pose_guider(poses.flatten(0, 1)),
            Reference(features, weights.repeat_interleave(count, 0) if weights.shape[1] > 1 else None),
        )

    def _draw(self, target: Tensor, generators: list[torch.Generator]) -> tuple[Tensor, Tensor]:
        """The student's step (as an index of the teacher's times, (N,)) and noise (N, C, h, w) of each picture."""
        shape = target.shape[1:]
        steps = [torch.randint(self.config.steps, shape[:1], generator=generator) for generator in generators]
        noise = [torch.randn(shape, generator=generator) for generator in generators]
        return self.stride * torch.cat(steps).to(target.device), torch.cat(noise).to(target)

    def _teach(self, latents: Tensor, starts: Tensor, conditions: Conditions) -> Tensor:
        """Where `stride` guided steps of the teacher lead from `latents` at the times of index `starts`."""
        for number in range(self.stride):
            before, after = self.times[starts + number], self.times[starts + number + 1]
            velocity = self.teacher(latents, before, conditions.tokens, conditions.poses, conditions.reference).float()
            if self.config.guidance_scale > 1:
                uncond = self.teacher(latents, before, conditions.uncond_tokens, conditions.poses).float()
                velocity = uncond + self.config.guidance_scale * (velocity - uncond)
            picture = self._at(self.signal, before) * latents - self._at(self.noise, before) * velocity
            noise = self._at(self.noise, before) * latents + self._at(self.signal, before) * velocity
            latents = self._at(self.signal, after) * picture + self._at(self.noise, after) * noise
        return latents

    def _velocity(self, before: Tensor, after: Tensor, first: Tensor, last: Tensor) -> Tensor:
        """The prediction with which one DDIM step leads from `before`, at times `first`, to `after`, at `last`."""
        a, b = self._at(self.signal, first), self._at(self.noise, first)
        c, d = self._at(self.signal, last), self._at(self.noise, last)
        return (after - (a * c + b * d) * before) / (a * d - b * c)

    def _at(self, values: Tensor, times: Tensor) -> Tensor:
        return values[times + 1][:, None, None, None]


def trailing_times(count: int, steps: int) -> Tensor:
    """The timesteps of trailing steps and where the last one leads, (steps + 1,) int64: 999, 949, ..., 49, -1."""
    return torch.arange(count, -1, -count / steps).round().long()[: steps + 1] - 1
