"""The training loop, the loss and the pairs it learns from."""

import copy
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from IPG.models import build_scheduler, build_vae
from IPG.presets import VAESizes
from IPG.training.data import PairSampler, fingerprint
from IPG.training.loop import STATE_FILE, Loop, LoopConfig, learning_rate_factor, step_generator
from IPG.training.objective import IPGObjective, ObjectiveConfig, min_snr_weight
from NFC.datasets.synthetic.groups import Groups, read_groups, write_groups
from NFC.errors import UserError
from NFC.extractors import Extractor, Preprocessing
from tests.ipg.tiny import random_network, tiny_preset

# Loss


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

    def _draw(self, latents, generator):
        return self.timesteps, self.noise


class Recorder(nn.Module):
    """Stands where the denoising UNet stands, predicts a constant and keeps what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.given: dict[str, torch.Tensor] = {}

    def forward(self, latents, timesteps, tokens, pose_features, reference_features, reference_mask):
        self.given = {"latents": latents, "timesteps": timesteps, "tokens": tokens, "mask": reference_mask}
        return torch.full_like(latents, 0.3)


def batch_of(preset, references: int = 2, poses: int = 3) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    channels, height, width = preset.latent_shape

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator)

    return {
        "reference_latents": draw(references, channels, height, width),
        "features": draw(references, preset.reid.feature_dim),
        "uncond_feature": draw(preset.reid.feature_dim),
        "target_latents": draw(references, poses, channels, height, width),
        "poses": torch.rand(references, poses, 3, 128, 64, generator=generator),
    }


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
    loss, _ = objective(batch, torch.Generator().manual_seed(0))

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
    loss, _ = objective(batch, torch.Generator().manual_seed(0))
    assert loss.item() < 1e-10
    assert torch.allclose(recorder.given["latents"], objective.noise, atol=1e-6)


def test_noise_and_timesteps_are_drawn_from_the_generator(preset):
    recorder = Recorder()
    objective = objective_of(preset, denoising_unet=recorder, noise_offset=2.0)
    batch = batch_of(preset, references=20, poses=5)
    batch["target_latents"].zero_()
    losses = [objective(batch, step_generator(0, step))[0].item() for step in (0, 0, 1)]
    assert losses[0] == losses[1] != losses[2]
    timesteps = recorder.given["timesteps"]
    assert timesteps.min() < 100 and timesteps.max() > 900 and timesteps.unique().numel() > 80
    # Each picture and channel has an offset of its own.
    offsets = recorder.given["latents"][timesteps > 500].mean((2, 3))
    assert offsets.std() > 0.5


def gradients(objective: IPGObjective, batch: dict[str, torch.Tensor]) -> dict[str, float]:
    objective.zero_grad()
    objective(batch, torch.Generator().manual_seed(0))[0].backward()
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
            return objective(batch | changes, torch.Generator().manual_seed(0))[0].item()

    before = loss_with()
    for name in ("features", "reference_latents"):
        assert (loss_with(**{name: batch[name] + 1}) == before) is dropped
    assert (loss_with(uncond_feature=batch["uncond_feature"] + 1) == before) is not dropped


def test_each_reference_is_dropped_for_itself(preset):
    recorder = Recorder()
    objective, batch = objective_of(preset, denoising_unet=recorder, uncond_ratio=0.5), batch_of(preset, 12, 2)
    objective(batch, torch.Generator().manual_seed(0))
    kept, tokens = recorder.given["mask"], recorder.given["tokens"]
    assert 0 < kept.sum() < len(kept) and torch.equal(kept[::2], kept[1::2])
    with torch.no_grad():
        own, unconditional = objective.ifr(batch["features"]), objective.ifr(batch["uncond_feature"][None])
    expected = torch.where(kept[:, None, None], own.repeat_interleave(2, 0), unconditional)
    assert torch.allclose(tokens, expected, atol=1e-6)


# Loop


class Toy(nn.Module):
    """Regression with noise from the generator; one parameter is frozen."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(3)
            self.layer = nn.Linear(4, 2)
        self.frozen = nn.Parameter(torch.ones(2), requires_grad=False)

    def forward(self, batch, generator):
        noise = torch.randn(batch["x"].shape, generator=generator).to(batch["x"])
        loss = (self.layer(batch["x"] + 0.1 * noise) - self.frozen).square().mean()
        return loss, {"noise": noise.abs().mean().item()}


def toy_batches(generator: torch.Generator) -> dict[str, torch.Tensor]:
    return {"x": torch.randn(8, 4, generator=generator)}


def toy_loop(folder: Path, batches=toy_batches, **options) -> tuple[Loop, list[torch.Tensor]]:
    """A loop over a fresh toy, and the list of first weights that its exports saw."""
    model, exported = Toy(), []

    def export(path: Path) -> None:
        assert path == folder
        exported.append(model.layer.weight.detach().cpu().clone())

    defaults = {"max_train_steps": 6, "learning_rate": 0.05, "ema_decay": 0.9, "warmup_steps": 2, "checkpoint_every": 3}
    return Loop(model, batches, export, LoopConfig(**(defaults | options), output_dir=str(folder))), exported


def state_of(folder: Path) -> dict:
    return torch.load(folder / STATE_FILE, map_location="cpu", weights_only=True)


def assert_same_state(a: dict, b: dict) -> None:
    assert a["step"] == b["step"]
    for name, tensor in a["model"].items():
        assert torch.equal(tensor, b["model"][name]), name
    for first, second in zip(a["ema"]["shadow_params"], b["ema"]["shadow_params"], strict=True):
        assert torch.equal(first, second)
    assert a["ema"]["optimization_step"] == b["ema"]["optimization_step"]
    for key, moments in a["optimizer"]["state"].items():
        assert all(torch.equal(value, b["optimizer"]["state"][key][name]) for name, value in moments.items())


def test_resuming_takes_the_same_steps(tmp_path):
    straight, _ = toy_loop(tmp_path / "straight")
    straight.run()
    first, _ = toy_loop(tmp_path / "parts", max_train_steps=3)
    first.run()
    assert state_of(tmp_path / "parts")["step"] == 3
    second, _ = toy_loop(tmp_path / "parts")
    second.run()
    assert (first.step, second.step) == (3, 6)
    assert_same_state(state_of(tmp_path / "straight"), state_of(tmp_path / "parts"))
    assert torch.equal(straight.model.layer.weight, second.model.layer.weight)


@pytest.mark.parametrize("killed_at", [4, 5])
def test_a_killed_run_goes_on_from_its_last_checkpoint(tmp_path, killed_at):
    calls = 0

    def dying(generator: torch.Generator) -> dict[str, torch.Tensor]:
        nonlocal calls
        calls += 1
        if calls > killed_at:
            raise KeyboardInterrupt
        return toy_batches(generator)

    options = {"lr_schedule": "cosine", "checkpoint_every": 2}
    toy_loop(tmp_path / "straight", **options)[0].run()
    with pytest.raises(KeyboardInterrupt):
        toy_loop(tmp_path / "killed", dying, **options)[0].run()
    assert state_of(tmp_path / "killed")["step"] == 4
    toy_loop(tmp_path / "killed", **options)[0].run()
    assert_same_state(state_of(tmp_path / "straight"), state_of(tmp_path / "killed"))
    assert [path.name for path in (tmp_path / "killed").iterdir()] == [STATE_FILE]


def test_a_finished_run_takes_no_further_step(tmp_path):
    toy_loop(tmp_path)[0].run()
    before = state_of(tmp_path)
    loop, exported = toy_loop(tmp_path)
    loop.run()
    assert loop.step == 6 and not exported
    assert_same_state(before, state_of(tmp_path))


def test_exports_see_the_averaged_weights(tmp_path):
    loop, exported = toy_loop(tmp_path)
    loop.run()
    state = state_of(tmp_path)
    assert len(exported) == 2  # after steps 3 and 6
    assert torch.equal(exported[-1], state["ema"]["shadow_params"][0])
    assert torch.equal(state["model"]["layer.weight"], loop.model.layer.weight.detach().cpu())
    assert not torch.equal(exported[-1], state["model"]["layer.weight"])


def test_without_average_exports_see_the_weights(tmp_path):
    loop, exported = toy_loop(tmp_path, ema_decay=0.0)
    loop.run()
    assert torch.equal(exported[-1], loop.model.layer.weight.detach().cpu())
    assert state_of(tmp_path)["ema"] is None


def test_steps_are_those_of_plain_adamw(tmp_path):
    options = {"lr_schedule": "cosine", "weight_decay": 0.1, "max_grad_norm": 0.5, "seed": 4, "ema_decay": 0.0}
    loop, _ = toy_loop(tmp_path, **options)
    loop.run()
    model, config = Toy(), loop.config
    optimizer = torch.optim.AdamW(model.layer.parameters(), lr=0.05, weight_decay=0.1)
    for step in range(6):
        generator = step_generator(4, step)
        optimizer.param_groups[0]["lr"] = 0.05 * learning_rate_factor(config, step, step / 6)
        loss, _ = model(toy_batches(generator), generator)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.layer.parameters(), 0.5)
        optimizer.step()
    assert torch.allclose(loop.model.layer.weight.cpu(), model.layer.weight, atol=1e-6)
    assert torch.equal(loop.model.frozen.cpu(), torch.ones(2))


def test_the_clock_can_end_a_run(tmp_path):
    loop, exported = toy_loop(tmp_path, max_train_steps=10**9, max_minutes=0.005, checkpoint_every=10**9)
    loop.run()
    assert 0 < loop.step < 10**6 and len(exported) == 1
    assert state_of(tmp_path)["seconds"] >= 0.3


def test_learning_rate_factors():
    constant = LoopConfig(warmup_steps=4)
    assert [learning_rate_factor(constant, step, 0.9) for step in (0, 1, 3, 4, 1000)] == [0.25, 0.5, 1, 1, 1]
    cosine = LoopConfig(lr_schedule="cosine", warmup_steps=0)
    factors = [learning_rate_factor(cosine, 0, progress) for progress in (0, 0.25, 0.5, 1, 1.5)]
    assert factors == pytest.approx([1, 0.02 + 0.49 * (1 + math.sqrt(0.5)), 0.51, 0.02, 0.02])
    warm = LoopConfig(lr_schedule="cosine", warmup_steps=10)
    assert learning_rate_factor(warm, 4, 0.5) == pytest.approx(0.5 * 0.51)


def test_unknown_schedule():
    with pytest.raises(UserError, match="'linear' is not one of: constant, cosine"):
        learning_rate_factor(LoopConfig(lr_schedule="linear"), 0, 0.0)


def test_every_step_and_process_has_its_own_numbers():
    keys = [(seed, step, process) for seed in (0, 1) for step in (0, 1, 1009) for process in (0, 1)]
    draws = {torch.rand(1, generator=step_generator(*key), dtype=torch.float64).item() for key in keys}
    assert len(draws) == len(keys)
    again = [torch.rand(1, generator=step_generator(12580, 7)).item() for _ in range(2)]
    assert again[0] == again[1]


# Pairs


@pytest.fixture(scope="module")
def groups(tmp_path_factory) -> Groups:
    """Six groups; the first three are called occluded."""
    folder = tmp_path_factory.mktemp("groups")
    write_groups(folder, seed=0, num_groups=6, workers=1)
    read = read_groups(folder)
    labels = np.array(read.labels)
    labels[:, 3] = [1, 1, 1, 0, 0, 0]
    return replace(read, labels=labels)


@pytest.fixture(scope="module")
def frozen() -> dict[str, nn.Module]:
    """A small random picture autoencoder and ReID network."""
    preset = tiny_preset()
    sizes = VAESizes("kl", 8, block_out_channels=[8] * 4, layers_per_block=[1], norm_num_groups=4, scaling_factor=0.5)
    torch.manual_seed(0)
    reid = preset.reid
    network = random_network("transformer_20", preset)
    extractor = Extractor(network, reid.feature_dim, Preprocessing(reid.height, reid.width))
    return {"vae": build_vae(sizes).eval(), "extractor": extractor.eval()}


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cache") / "made/here"


@pytest.fixture(scope="module")
def sampler(groups, frozen, cache) -> PairSampler:
    return PairSampler(groups, **frozen, cache=cache, batch_size=40)


def places_of(pictures: torch.Tensor, sampler: PairSampler) -> list[tuple[int, int]]:
    """(group, member) of latents (B, C, h, w), found by value."""
    known = torch.from_numpy(sampler.latents.astype(np.float32)).flatten(2)  # (G, M, D)
    places = []
    for picture in pictures.flatten(1):
        found = (known == picture).all(2).nonzero().tolist()
        assert len(found) == 1
        places.append(tuple(found[0]))
    return places


def test_batches_have_the_shapes_and_ranges_the_loss_takes(preset, sampler):
    batch = sampler(torch.Generator().manual_seed(0))
    shapes = {name: tuple(value.shape) for name, value in batch.items()}
    assert shapes == {
        "reference_latents": (40, *preset.latent_shape),
        "features": (40, preset.reid.feature_dim),
        "uncond_feature": (preset.reid.feature_dim,),
        "target_latents": (40, 3, *preset.latent_shape),
        "poses": (40, 3, 3, 128, 64),
    }
    assert all(value.dtype == torch.float32 and value.isfinite().all() for value in batch.values())
    assert not any(value.requires_grad or value.is_inference() for value in batch.values())
    poses = batch["poses"]
    assert poses.min() == 0 and 0.5 < poses.max() <= 1
    assert (poses.amax((2, 3, 4)) > 0.3).all()
    again = sampler(torch.Generator().manual_seed(0))
    assert all(torch.equal(batch[name], again[name]) for name in batch)
    assert not torch.equal(batch["features"], sampler(torch.Generator().manual_seed(1))["features"])


def test_targets_are_the_other_pictures_of_the_group(sampler):
    batch = sampler(torch.Generator().manual_seed(0))
    references = places_of(batch["reference_latents"], sampler)
    targets = places_of(batch["target_latents"].flatten(0, 1), sampler)
    for row, (group, member) in enumerate(references):
        own = targets[3 * row : 3 * row + 3]
        assert {g for g, _ in own} == {group}
        assert sorted(m for _, m in own) == [m for m in range(4) if m != member]
        assert torch.equal(batch["features"][row], torch.from_numpy(sampler.features[group, member]).float())
        for pose, place in zip(batch["poses"][row], own, strict=True):
            assert np.array_equal(np.rint(255 * pose.permute(1, 2, 0).numpy()), sampler.poses[place])
    assert {group for group, _ in references} == set(range(6))


def test_the_occluded_picture_is_never_a_target(sampler):
    places = places_of(sampler(torch.Generator().manual_seed(0))["reference_latents"], sampler)
    assert {member for group, member in places if group < 3} == {0}
    assert {member for group, member in places if group >= 3} == {0, 1, 2, 3}


@torch.no_grad()
def test_the_cache_holds_what_the_networks_say(groups, frozen, sampler):
    pictures = torch.from_numpy(np.array(groups.pictures[4, 2])).permute(2, 0, 1)[None].float() / 127.5 - 1
    latents = 0.5 * frozen["vae"].encode(pictures).latent_dist.mean
    features = frozen["extractor"](pictures)
    blank = frozen["extractor"](torch.zeros(1, 3, 128, 64))
    assert np.allclose(sampler.latents[4, 2], latents[0], atol=2e-3)
    assert np.allclose(sampler.features[4, 2], features[0], atol=4e-3)
    assert torch.allclose(sampler.uncond_feature, blank[0], atol=1e-5)


def test_the_cache_is_reused(groups, frozen, cache, sampler, monkeypatch):
    def refuse(*_: object) -> None:
        raise AssertionError("computed again")

    for name in ("_latents", "_features", "_poses"):
        monkeypatch.setattr(PairSampler, name, refuse)
    again = PairSampler(groups, **frozen, cache=cache, batch_size=4)
    assert np.array_equal(again.latents, sampler.latents)
    (folder,) = cache.iterdir()
    assert sorted(path.name for path in folder.iterdir()) == ["features.npy", "latents.npy", "poses.npy"]


def test_a_broken_off_cache_is_made_anew(groups, frozen, cache, sampler, tmp_path):
    folder = tmp_path / fingerprint(**frozen, groups=groups)
    folder.mkdir()
    (folder / "latents.partial").write_bytes(b"half")
    again = PairSampler(groups, **frozen, cache=tmp_path, batch_size=4)
    assert np.array_equal(again.latents, sampler.latents)
    assert not list(folder.glob("*.partial"))


def test_other_networks_or_pictures_have_another_cache(groups, frozen):
    name = fingerprint(**frozen, groups=groups)
    other = Groups(groups.pictures[::-1], groups.keypoints, groups.labels)
    assert fingerprint(**frozen, groups=other) != name
    extractor = copy.deepcopy(frozen["extractor"])
    next(extractor.parameters()).data += 1
    assert fingerprint(frozen["vae"], extractor, groups) != name
