"""Batches of pairs, and the arrays of what the frozen networks say that they are made of."""

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from IPG.networks import mean_identity
from IPG.poses import draw_skeleton, to_pixels
from IPG.training import encoded as encoding
from IPG.training.data import Material, Person
from IPG.training.encoded import Encoded, encode_material, fingerprint
from IPG.training.pairs import Pairs, draw_pair, pose_picture
from pose2id.presets import Preset
from tests.ipg.tiny import tiny_preset
from tests.ipg.training.small import frozen_networks, noise_material

PEOPLE = [[0, 1, 2, 3], [4, 5], [6, 7, 8]]


@pytest.fixture
def material(standing: np.ndarray) -> Material:
    return noise_material(standing, PEOPLE)


@pytest.fixture(scope="module")
def preset() -> Preset:
    return tiny_preset()


@pytest.fixture(scope="module")
def frozen() -> dict[str, torch.nn.Module]:
    return frozen_networks()


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cache") / "made/here"


@pytest.fixture
def encoded(material, frozen, preset, cache) -> Encoded:
    return encode_material(material, **frozen, preset=preset, cache=cache)


def generators(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


# Encoded pictures


@torch.no_grad()
def test_the_arrays_hold_what_the_networks_say(material, frozen, encoded):
    picture = torch.from_numpy(np.array(material.read(5))).permute(2, 0, 1)[None].float() / 127.5 - 1
    latents = 0.5 * frozen["vae"].encode(picture).latent_dist.mean
    features, blank = frozen["extractor"](picture), frozen["extractor"](torch.zeros(1, 3, 128, 64))
    assert np.allclose(encoded.latents[5], latents[0], atol=2e-3)
    assert np.allclose(encoded.features[5], features[0], atol=4e-3)
    assert torch.allclose(encoded.uncond_feature, blank[0], atol=1e-5)
    with pytest.raises(ValueError, match="read-only"):
        encoded.latents[0] = 0


def test_what_is_there_is_not_computed_again(material, frozen, preset, cache, encoded):
    def refuse(number: int) -> None:
        raise AssertionError(f"picture {number} was read again")

    again = encode_material(replace(material, read=refuse), **frozen, preset=preset, cache=cache)
    assert np.array_equal(again.latents, encoded.latents) and np.array_equal(again.features, encoded.features)


def test_a_killed_run_is_gone_on_with(material, frozen, preset, encoded, tmp_path, monkeypatch):
    monkeypatch.setattr(encoding, "CHUNK_PIXELS", 2 * 128 * 64)
    read_again = []

    def dying(number: int):
        if number == 6:
            raise KeyboardInterrupt
        return material.read(number)

    def counting(number: int):
        read_again.append(number)
        return material.read(number)

    with pytest.raises(KeyboardInterrupt):
        encode_material(replace(material, read=dying), **frozen, preset=preset, cache=tmp_path)
    resumed = encode_material(replace(material, read=counting), **frozen, preset=preset, cache=tmp_path)
    assert set(range(6, 9)) <= set(read_again) < set(range(9))
    assert np.allclose(resumed.latents, encoded.latents, atol=1e-2)
    assert np.allclose(resumed.features, encoded.features, atol=1e-2)
    (folder,) = tmp_path.iterdir()
    assert sorted(path.name for path in folder.iterdir()) == ["done.npy", "features.npy", "latents.npy"]


def test_other_networks_pictures_or_sizes_have_other_arrays(material, frozen, preset):
    name = fingerprint(material, **frozen, preset=preset)
    assert fingerprint(replace(material, digest="other"), **frozen, preset=preset) != name
    larger = tiny_preset()
    larger.generation.height = 256
    assert fingerprint(material, **frozen, preset=larger) != name
    extractor = copy.deepcopy(frozen["extractor"])
    next(extractor.parameters()).data += 1
    assert fingerprint(material, frozen["vae"], extractor, preset) != name


# Pairs


def test_pairs_are_those_of_a_naive_enumeration():
    """Every pair that may be drawn is, about equally often, and no other."""
    person = Person(3, np.array([4, 5, 6]), np.array([5, 6, 7]))
    naive = {(r, t) for r in (4, 5, 6) for t in (5, 6, 7) if r != t}
    counts: dict[tuple[int, int], int] = {}
    for generator in generators(*range(2000)):
        reference, others = draw_pair(person, generator)
        assert sorted(others) == [t for t in (5, 6, 7) if t != reference]
        counts[reference, int(others[0])] = counts.get((reference, int(others[0])), 0) + 1
    assert set(counts) == naive
    expected = {(r, t): 2000 / 3 / len([o for q, o in naive if q == r]) for r, t in naive}
    assert all(abs(counts[pair] - expected[pair]) < 5 * expected[pair] ** 0.5 for pair in naive)


def test_batches_have_the_shapes_and_ranges_the_loss_takes(material, encoded, preset):
    batch = Pairs(material, encoded, preset, targets=3)(generators(*range(40)))
    shapes = {name: tuple(value.shape) for name, value in batch.items()}
    assert shapes == {
        "reference_latents": (40, 1, *preset.latent_shape),
        "reference_weights": (40, 1),
        "features": (40, preset.reid.feature_dim),
        "uncond_feature": (preset.reid.feature_dim,),
        "target_latents": (40, 3, *preset.latent_shape),
        "poses": (40, 3, 3, 128, 64),
    }
    assert all(value.dtype == torch.float32 and value.isfinite().all() for value in batch.values())
    assert not any(value.requires_grad or value.is_inference() for value in batch.values())
    assert batch["poses"].min() == 0 and 0.5 < batch["poses"].max() <= 1


def test_a_row_is_its_pictures_and_its_generator_alone(material, encoded, preset):
    pairs = Pairs(material, encoded, preset, targets=3)
    batch, alone = pairs(generators(*range(12))), pairs(generators(7))
    seen = set()
    for row in range(12):
        (reference,), targets = pairs.draw(generators(row)[0])
        (person,) = [own for own in PEOPLE if reference in own]
        assert set(targets.tolist()) == set(person) - {reference} and len(targets) == 3  # those there are, repeated
        seen.add(person[0])
        assert np.array_equal(batch["reference_latents"][row, 0], encoded.latents[reference].astype(np.float32))
        assert np.array_equal(batch["features"][row], encoded.features[reference].astype(np.float32))
        assert np.array_equal(batch["target_latents"][row], encoded.latents[targets].astype(np.float32))
        for pose, number in zip(batch["poses"][row], targets, strict=True):
            drawn = draw_skeleton(to_pixels(material.keypoints[number], (128, 64)), (128, 64))
            assert np.array_equal(np.rint(255 * pose.permute(1, 2, 0).numpy()), drawn)
    assert seen == {0, 4, 6}
    for name in ("reference_latents", "target_latents", "poses", "features"):
        assert torch.equal(alone[name][0], batch[name][7])


def test_several_references_are_other_pictures_than_the_targets(material, encoded, preset):
    pairs = Pairs(material, encoded, preset, targets=1, references=3)
    batch, counts = pairs(generators(*range(60))), set()
    for row in range(60):
        references, (target,) = pairs.draw(generators(row)[0])
        (person,) = [own for own in PEOPLE if target in own]
        count = len(references)
        assert len({target, *references}) == 1 + count <= len(person) and {target, *references} <= set(person)
        assert batch["reference_weights"][row].tolist() == pytest.approx([1 / count] * count + [0] * (3 - count))
        seen = encoded.latents[references].astype(np.float32)
        assert np.array_equal(batch["reference_latents"][row, :count], seen)
        features = torch.from_numpy(encoded.features[references]).float()
        expected = mean_identity(features)
        assert torch.equal(batch["features"][row], expected[0])
        counts.add((len(person), count))
    assert counts == {(len(own), n) for own in PEOPLE for n in range(1, min(3, len(own) - 1) + 1)}


def test_poses_of_larger_networks_are_enlarged_as_inference_does(material, encoded):
    preset = tiny_preset()
    preset.generation.height, preset.generation.width = 256, 128
    batch = Pairs(material, encoded, preset, targets=1)(generators(0))
    (_, targets) = Pairs(material, encoded, preset, targets=1).draw(generators(0)[0])
    enlarged = pose_picture(material.keypoints[targets[0]]).resize((128, 256), 1)  # 1: Lanczos
    assert np.array_equal(np.rint(255 * batch["poses"][0, 0].permute(1, 2, 0).numpy()), np.asarray(enlarged))


@pytest.mark.parametrize("name", ["latents.npy", "features.npy", "done.npy"])
def test_a_cache_that_is_cut_is_made_again(material, frozen, preset, tmp_path, name):
    whole = encode_material(material, **frozen, preset=preset, cache=tmp_path)
    latents, features = np.array(whole.latents), np.array(whole.features)
    (file,) = tmp_path.glob(f"*/{name}")
    content = file.read_bytes()
    file.write_bytes(content[: len(content) - 10])
    again = encode_material(material, **frozen, preset=preset, cache=tmp_path)
    assert np.array_equal(again.latents, latents) and np.array_equal(again.features, features)
    assert file.read_bytes() == content
