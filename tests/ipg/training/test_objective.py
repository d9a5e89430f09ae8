"""The loss of the generator, Eq. 6."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from IPG.models import build_scheduler, project_reference, stack_references
from IPG.training.objective import IPGObjective, ObjectiveConfig, min_snr_weight, shift_timesteps
from pose2id.loop.randomness import row_generators
from tests.ipg.tiny import random_network, tiny_preset


@pytest.fixture(scope="module")
def preset():
    return tiny_preset()


def alphas_cumprod_naively() -> list[float]:
    """Scaled-linear betas, with the square roots of the products shifted and scaled to end at zero."""
    betas = [(math.sqrt(0.00085) + (math.sqrt(0.012) - math.sqrt(0.00085)) * k / 999) ** 2 for k in range(1000)]
    roots, product = [], 1.0
    for beta in betas:
        product *= 1 - beta
        roots.append(math.sqrt(product))
    return [((root - roots[-1]) * roots[0] / (roots[0] - roots[-1])) ** 2 for root in roots]


@pytest.mark.parametrize("gamma", [0.5, 5.0])
def test_min_snr_weight_is_the_naive_one(gamma):
    alphas = alphas_cumprod_naively()
    timesteps = [0, 1, 100, 499, 998, 999]
    naive = []
    for t in timesteps:
        snr = alphas[t] / (1 - alphas[t])
        naive.append(min(snr, gamma) / (snr + 1) if snr > 0 else 1.0)
    weights = min_snr_weight(torch.tensor(alphas), torch.tensor(timesteps), gamma)
    assert torch.allclose(weights, torch.tensor(naive), rtol=1e-3, atol=1e-7)


class Fixed(IPGObjective):
    """The objective with chosen timesteps and noise."""

    timesteps: torch.Tensor
    noise: torch.Tensor

    def _draw(self, target, generators):
        return self.timesteps, self.noise


class Recorder(nn.Module):
    """Stands where the denoising UNet stands, predicts a constant and keeps what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.given: dict[str, torch.Tensor] = {}

    def forward(self, latents, timesteps, tokens, pose_features, reference):
        self.given = {"latents": latents, "timesteps": timesteps, "tokens": tokens, "weights": reference.weights}
        return torch.full_like(latents, 0.3)


def batch_of(preset, references: int = 2, poses: int = 3) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    channels, height, width = preset.latent_shape

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator)

    return {
        "reference_latents": draw(references, 1, channels, height, width),
        "reference_weights": torch.ones(references, 1),
        "features": draw(references, preset.reid.feature_dim),
        "uncond_feature": draw(preset.reid.feature_dim),
        "target_latents": draw(references, poses, channels, height, width),
        "poses": torch.rand(references, poses, 3, 128, 64, generator=generator),
    }


def generators_of(batch: dict[str, torch.Tensor]) -> list[torch.Generator]:
    return row_generators(0, 0, range(len(batch["features"])))


def objective_of(preset, kind: type[IPGObjective] = IPGObjective, denoising_unet=None, **options) -> IPGObjective:
    networks = [random_network(name, preset) for name in ("IFR", "pose_guider", "reference_unet")]
    denoising_unet = denoising_unet or random_network("denoising_unet", preset)
    return kind(*networks, denoising_unet, build_scheduler(preset), ObjectiveConfig(**options))


@pytest.mark.parametrize("gamma", [0.0, 5.0])
def test_target_is_the_velocity(preset, gamma):
    """v = sqrt(a) noise - sqrt(1 - a) latents, from noisy = sqrt(a) latents + sqrt(1 - a) noise."""
    batch, recorder = batch_of(preset, references=1, poses=4), Recorder()
    objective = objective_of(preset, Fixed, recorder, snr_gamma=gamma)
    objective.timesteps = torch.tensor([0, 50, 600, 999])
    objective.noise = torch.randn(4, *preset.latent_shape, generator=torch.Generator().manual_seed(2))
    loss, _ = objective(batch, generators_of(batch))

    alphas, latents, errors = alphas_cumprod_naively(), batch["target_latents"][0], []
    for row, t in enumerate(objective.timesteps.tolist()):
        keep, replaced = math.sqrt(alphas[t]), math.sqrt(1 - alphas[t])
        velocity = keep * objective.noise[row] - replaced * latents[row]
        snr = alphas[t] / (1 - alphas[t])
        weight = min(snr, gamma) / (snr + 1) if gamma and snr > 0 else 1.0
        errors.append(weight * ((0.3 - velocity) ** 2).mean().item())
        noisy = keep * latents[row] + replaced * objective.noise[row]
        assert torch.allclose(recorder.given["latents"][row], noisy, atol=1e-4)
    assert loss.item() == pytest.approx(np.mean(errors), rel=1e-4)


def test_last_timestep_is_pure_noise(preset):
    """Zero terminal SNR: at t = 999 the network sees the noise alone and has to answer minus the latents."""
    recorder = Recorder()
    objective = objective_of(preset, Fixed, recorder, snr_gamma=0.0)
    batch = batch_of(preset, references=1, poses=1)
    batch["target_latents"] = torch.full_like(batch["target_latents"], -0.3)
    objective.timesteps, objective.noise = torch.tensor([999]), torch.randn(1, *preset.latent_shape)
    loss, _ = objective(batch, generators_of(batch))
    assert loss.item() < 1e-10
    assert torch.allclose(recorder.given["latents"], objective.noise, atol=1e-6)


@pytest.mark.parametrize("shift", [0.5, 1.0, 3.0])
def test_shifted_timesteps(preset, shift):
    """The share of timesteps above a shifted u is the share of uniform ones above u; 1 changes nothing."""
    recorder = Recorder()
    objective = objective_of(preset, denoising_unet=recorder, timestep_shift=shift)
    batch = batch_of(preset, references=100, poses=5)
    objective(batch, row_generators(0, 0, range(100)))
    drawn = recorder.given["timesteps"]
    assert drawn.dtype == torch.long and drawn.min() >= 0 and drawn.max() <= 999
    for u in (0.2, 0.5, 0.8):
        bound = shift * u / (1 + (shift - 1) * u)
        assert (drawn > 999 * bound).float().mean().item() == pytest.approx(1 - u, abs=0.07)
    assert torch.equal(shift_timesteps(torch.arange(1000), 1000, 1.0), torch.arange(1000))


def test_noise_and_timesteps_are_drawn_from_the_generator(preset):
    recorder = Recorder()
    objective = objective_of(preset, denoising_unet=recorder, noise_offset=2.0)
    batch = batch_of(preset, references=20, poses=5)
    batch["target_latents"].zero_()
    losses = [objective(batch, row_generators(0, step, range(20)))[0].item() for step in (0, 0, 1)]
    assert losses[0] == losses[1] != losses[2]
    timesteps = recorder.given["timesteps"]
    assert timesteps.min() < 100 and timesteps.max() > 900 and timesteps.unique().numel() > 80
    # Each picture and channel has an offset of its own.
    offsets = recorder.given["latents"][timesteps > 500].mean((2, 3))
    assert offsets.std() > 0.5


def gradients(objective: IPGObjective, batch: dict[str, torch.Tensor]) -> dict[str, float]:
    objective.zero_grad()
    objective(batch, generators_of(batch))[0].backward()
    return {
        name: sum(p.grad.abs().sum().item() for p in network.parameters() if p.grad is not None)
        for name, network in objective.named_children()
    }


@pytest.mark.parametrize(("ratio", "dropped"), [(1.0, True), (0.0, False)])
def test_dropped_references(preset, ratio, dropped):
    objective, batch = objective_of(preset, uncond_ratio=ratio), batch_of(preset)
    found = gradients(objective, batch)
    assert (found["reference_unet"] == 0) is dropped
    assert found["denoising_unet"] > 0 and found["pose_guider"] > 0 and found["ifr"] > 0

    def loss_with(**changes: torch.Tensor) -> float:
        with torch.no_grad():
            return objective(batch | changes, generators_of(batch))[0].item()

    before = loss_with()
    for name in ("features", "reference_latents"):
        assert (loss_with(**{name: batch[name] + 1}) == before) is dropped
    assert (loss_with(uncond_feature=batch["uncond_feature"] + 1) == before) is not dropped


def test_several_references_are_seen_as_they_are_in_generation(preset):
    """The loss over two references is that of a UNet that is given both, as `stack_references` gives them."""
    objective, batch = objective_of(preset, uncond_ratio=0.0), batch_of(preset, references=1, poses=1)
    generator = torch.Generator().manual_seed(3)
    batch["reference_latents"] = torch.randn(1, 2, *preset.latent_shape, generator=generator)
    batch["reference_weights"] = torch.full((1, 2), 0.5)
    given = {}

    def keep(module, arguments):
        given["latents"], given["t"], given["tokens"], given["pose"], given["reference"] = arguments

    objective.denoising_unet.register_forward_pre_hook(keep)
    with torch.no_grad():
        objective(batch, generators_of(batch))
        kept = [objective.reference_unet(row[None], given["tokens"]) for row in batch["reference_latents"][0]]
        person = project_reference(
            objective.denoising_unet, {name: torch.cat([a[name] for a in kept]) for name in kept[0]}
        )
        inputs = given["latents"], given["t"], given["tokens"], given["pose"]
        expected = objective.denoising_unet.forward(*inputs, stack_references([person]))
        found = objective.denoising_unet.forward(*inputs, given["reference"])
    assert torch.allclose(found, expected, atol=1e-5)


def test_each_reference_is_dropped_for_itself(preset):
    recorder = Recorder()
    objective, batch = objective_of(preset, denoising_unet=recorder, uncond_ratio=0.5), batch_of(preset, 12, 2)
    objective(batch, generators_of(batch))
    kept, tokens = recorder.given["weights"][:, 0].bool(), recorder.given["tokens"]
    assert 0 < kept.sum() < len(kept) and torch.equal(kept[::2], kept[1::2])
    with torch.no_grad():
        own, unconditional = objective.ifr(batch["features"]), objective.ifr(batch["uncond_feature"][None])
    expected = torch.where(kept[:, None, None], own.repeat_interleave(2, 0), unconditional)
    assert torch.allclose(tokens, expected, atol=1e-6)


def test_what_is_drawn_for_a_reference_does_not_depend_on_its_neighbours(preset):
    """So that the loss of a batch is the mean of the losses of its halves, with the same noise, steps and dropping."""
    objective, batch = objective_of(preset, uncond_ratio=0.5), batch_of(preset, references=4, poses=2)
    losses, wholes = [], ("uncond_feature",)
    with torch.no_grad():
        together = objective(batch, generators_of(batch))[0]
        for half in (range(2), range(2, 4)):
            part = {name: value if name in wholes else value[half[0] : half[-1] + 1] for name, value in batch.items()}
            losses.append(objective(part, row_generators(0, 0, half))[0])
    assert losses[0] != losses[1]
    assert torch.allclose(together, torch.stack(losses).mean(), rtol=1e-5)
