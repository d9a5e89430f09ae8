"""Distillation: what the student is taught is where the teacher's own sampling leads."""

import pytest
import torch
from torch import nn

from IPG.models import build_scheduler, project_reference
from IPG.sampling import Sampling, denoise
from IPG.training.distillation import Distillation, DistillationConfig, trailing_times
from pose2id.errors import UserError
from pose2id.loop.randomness import row_generators
from tests.ipg.tiny import random_network, tiny_preset
from tests.ipg.training.test_objective import batch_of


class Recorder(nn.Module):
    """A student that predicts a constant and keeps what it was given."""

    def forward(self, latents, times, tokens, poses, reference):
        self.latents, self.times = latents, times
        return torch.full_like(latents, 0.25)


@pytest.fixture(scope="module")
def preset():
    return tiny_preset()


def distillation_of(preset, student=None, **options) -> Distillation:
    parts = [random_network(name, preset) for name in ("IFR", "pose_guider", "reference_unet")]
    teacher = random_network("denoising_unet", preset)
    config = DistillationConfig(**options).for_preset(preset)
    return Distillation(*parts, student or teacher, teacher, build_scheduler(preset), config)


@pytest.mark.parametrize(("steps", "teacher_steps"), [(4, 20), (2, 20), (5, 10), (1, 7), (1000, 1000)])
def test_times_are_those_of_sampling(preset, steps, teacher_steps):
    scheduler = build_scheduler(preset)
    scheduler.set_timesteps(teacher_steps)
    times = trailing_times(1000, teacher_steps)
    assert times.tolist() == [*scheduler.timesteps.tolist(), -1]
    scheduler.set_timesteps(steps)
    assert times[:: teacher_steps // steps].tolist() == [*scheduler.timesteps.tolist(), -1]


@pytest.mark.parametrize("guidance", [1.0, 3.5])
def test_one_step_is_taught_the_picture_that_the_teacher_samples(preset, guidance):
    student = Recorder()
    distillation = distillation_of(preset, student, steps=1, teacher_steps=5, guidance_scale=guidance)
    batch = batch_of(preset, references=1, poses=2)
    loss, _ = distillation(batch, row_generators(0, 0, range(1)))
    assert student.times.tolist() == [999, 999]
    with torch.no_grad():
        tokens = distillation.ifr(batch["features"])
        reference = distillation.reference_unet(batch["reference_latents"][:, 0], tokens)
        pictures = denoise(
            distillation.teacher,
            build_scheduler(preset),
            student.latents,
            distillation.pose_guider(batch["poses"][0]),
            tokens,
            distillation.ifr(batch["uncond_feature"][None]),
            project_reference(distillation.teacher, reference),
            Sampling(5, guidance),
        )
    velocity = -pictures  # of pure noise, whose share of picture is 0
    assert loss.item() == pytest.approx(((0.25 - velocity) ** 2).mean().item(), rel=1e-4)


def test_who_follows_the_teacher_step_by_step_has_nothing_to_learn(preset):
    distillation = distillation_of(preset, steps=20, teacher_steps=20, guidance_scale=1.0)
    loss, _ = distillation(batch_of(preset, references=8), row_generators(0, 0, range(8)))
    assert loss.item() < 1e-8


def test_only_the_denoising_unet_learns(preset):
    distillation = distillation_of(preset, random_network("denoising_unet", preset))
    loss, _ = distillation(batch_of(preset), row_generators(0, 0, range(2)))
    loss.backward()
    learnt = {name for name, parameter in distillation.named_parameters() if parameter.grad is not None}
    assert learnt and all(name.startswith("denoising_unet.") for name in learnt)
    assert distillation.config.guidance_scale == 1.5  # the preset's own


@pytest.mark.parametrize(
    ("options", "told"),
    [({"steps": 3}, "no multiple"), ({"steps": 0}, "steps"), ({"guidance_scale": float("nan")}, "guidance_scale")],
)
def test_settings_that_cannot_work(options, told):
    with pytest.raises(UserError, match=told):
        DistillationConfig(**options)
