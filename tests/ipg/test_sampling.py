"""The denoising loop: schedulers, guidance and its interval, features taken over from step to step."""

import pytest
import torch
from torch import Tensor

from IPG import IPGPipeline, Sampling
from IPG.models import SCHEDULERS, build_scheduler
from IPG.models.feature_cache import FeatureCache
from IPG.sampling import denoise
from pose2id.errors import UserError
from pose2id.presets import load_preset

PRESET = load_preset("mini")
REFERENCE = {"block": torch.zeros(1)}  # stands for reference features; not looked into here


class KnowsTheAnswer:
    """Predicts as a network would that has learnt one single picture: the exact velocity towards `answer`."""

    def __init__(self, answer: Tensor) -> None:
        self.answer, self.alphas = answer, build_scheduler(PRESET).alphas_cumprod
        self.conditional: list[int] = []
        self.unconditional: list[int] = []

    def __call__(self, latents, t, tokens, pose_features, reference_features):
        (self.unconditional if reference_features is None else self.conditional).append(int(t))
        alpha = self.alphas[int(t)]
        noise = (latents - alpha.sqrt() * self.answer) / (1 - alpha).sqrt()
        return alpha.sqrt() * noise - (1 - alpha).sqrt() * self.answer


def run(unet: KnowsTheAnswer, batch: int, sampling: Sampling) -> Tensor:
    latents = torch.randn(batch, *PRESET.latent_shape, generator=torch.Generator().manual_seed(1))
    nothing = torch.zeros(1)
    solver = build_scheduler(PRESET, sampling.scheduler)
    return denoise(unet, solver, latents, nothing, nothing, nothing, REFERENCE, sampling)


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_every_scheduler_ends_at_the_learnt_picture(scheduler):
    answer = torch.randn(1, *PRESET.latent_shape, generator=torch.Generator().manual_seed(0))
    unet = KnowsTheAnswer(answer)
    result = run(unet, 2, Sampling(8, 1.0, scheduler))
    torch.testing.assert_close(result, answer.expand(2, -1, -1, -1), atol=0.05, rtol=0)
    assert len(unet.conditional) == 8 and unet.unconditional == []


def test_guidance_only_above_one():
    for scale, guided in ((1.0, []), (2.0, [999, 499])):
        unet = KnowsTheAnswer(torch.zeros(1, *PRESET.latent_shape))
        run(unet, 1, Sampling(2, scale))
        assert unet.conditional == [999, 499] and unet.unconditional == guided


def test_guidance_only_inside_its_interval():
    unet = KnowsTheAnswer(torch.zeros(1, *PRESET.latent_shape))
    run(unet, 1, Sampling(20, 3.5, guidance_interval=(300, 700)))
    assert unet.conditional == list(range(999, 0, -50))
    assert unet.unconditional == [t for t in unet.conditional if 300 <= t <= 700]


@pytest.fixture(scope="module")
def pipe(mini_weights):
    return IPGPipeline.from_pretrained(mini_weights, preset="mini", device="cpu")


@pytest.fixture(scope="module")
def inputs(pipe) -> tuple:
    """Latents, pose features, tokens, unconditional tokens and reference features, of two pictures."""
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(2, *pipe.preset.latent_shape, generator=generator)
    tokens = pipe.encode_identity(torch.rand(1, 3, 128, 64, generator=generator) * 2 - 1)
    pose = pipe.encode_pose(torch.rand(2, 3, 128, 64, generator=generator))
    reference = pipe.encode_reference(torch.randn(1, *pipe.preset.latent_shape, generator=generator), tokens)
    return latents, pose, tokens, pipe.encode_uncond(), reference


def test_denoise_is_guided_ddim(pipe, inputs):
    """Against DDIM written out: zero terminal SNR, v-prediction, trailing steps, guidance u + s (c - u)."""
    latents, pose, tokens, uncond, reference = inputs
    ours = pipe.denoise(latents, pose, tokens, uncond, reference, 4, 3.5)
    alphas = build_scheduler(pipe.preset).alphas_cumprod
    x = latents
    for t in (999, 749, 499, 249):
        c = pipe.predict(x, t, tokens, pose, reference)
        u = pipe.predict(x, t, uncond, pose, None)
        v = u + 3.5 * (c - u)
        now, following = alphas[t], alphas[t - 250] if t >= 250 else torch.tensor(1.0)
        clean = now.sqrt() * x - (1 - now).sqrt() * v
        noise = now.sqrt() * v + (1 - now).sqrt() * x
        x = following.sqrt() * clean + (1 - following).sqrt() * noise
    torch.testing.assert_close(ours, x, rtol=1e-3, atol=1e-4)


def test_both_streams_take_over_features_of_their_own(pipe, inputs):
    latents, pose, tokens, uncond, reference = inputs
    ours = pipe.denoise(latents, pose, tokens, uncond, reference, 4, 3.5, feature_interval=2)
    conditional, unconditional = FeatureCache(pipe.denoising_unet, 2), FeatureCache(pipe.denoising_unet, 2)
    solver = build_scheduler(pipe.preset)
    solver.set_timesteps(4)
    x = latents
    with torch.inference_mode():
        for t in solver.timesteps:
            u = unconditional(x, t, uncond, pose, None)
            c = conditional(x, t, tokens, pose, reference)
            x = solver.step(u + 3.5 * (c - u), t, x).prev_sample
    torch.testing.assert_close(ours, x, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"steps": 0}, "steps is 0; it must be from 1 to 1000"),
        ({"scheduler": "heun"}, "scheduler 'heun' is unknown; choose one of: ddim, dpm"),
        ({"guidance_interval": (1, 2, 3)}, "two timesteps: least, most"),
        ({"guidance_interval": (900, 100)}, "from 900 to 100; give the least timestep first"),
        ({"guidance_interval": (5000, 6000)}, "guidance_interval is 5000; it must be from 0 to 1000"),
        ({"feature_interval": 0}, "feature_interval is 0; it must be from 1 to 1000"),
    ],
)
def test_settings_that_cannot_work_are_told(settings, told):
    with pytest.raises(UserError, match=told):
        Sampling(**settings)
