"""From pictures to pictures, on small random weights."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from IPG import IPGPipeline, Sampling
from pose2id.errors import UserError


def picture(seed, size=(64, 128), mode="RGB"):
    pixels = np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


@pytest.fixture(scope="module")
def pipe(mini_weights):
    return IPGPipeline.from_pretrained(mini_weights, preset="mini", device="cpu")


REFERENCES = [picture(0), picture(1, (50, 90), "L")]
POSES = [picture(2), picture(3)]


def difference(first, second):
    return np.abs(np.asarray(first, dtype=int) - np.asarray(second, dtype=int)).max()


def test_every_reference_in_every_pose(pipe):
    images = pipe(REFERENCES, POSES, num_inference_steps=2)
    assert [len(row) for row in images] == [2, 2]
    assert all(image.size == (64, 128) and image.mode == "RGB" for row in images for image in row)
    assert difference(images[0][0], images[1][0]) > 0 and difference(images[0][0], images[0][1]) > 0


def test_a_picture_depends_on_its_names_not_on_its_company(pipe):
    two_steps = Sampling(2)
    noise = pipe.named_noise(two_steps.seed, ["a", "b"], ["x", "y"])
    images = pipe.generate(REFERENCES, POSES, two_steps, noise, batch_size=1)
    alone = pipe.generate(REFERENCES[1:], POSES[1:], two_steps, pipe.named_noise(two_steps.seed, ["b"], ["y"]))
    assert difference(images[1][1], alone[0][0]) <= 1
    together = pipe.generate(REFERENCES, POSES, two_steps, noise)
    assert difference(images[0][1], together[0][1]) <= 1
    other_seed = pipe.generate(REFERENCES[1:], POSES[1:], Sampling(2, seed=1), pipe.named_noise(1, ["b"], ["y"]))
    assert difference(other_seed[0][0], alone[0][0]) > 5


def test_a_call_is_generate_with_names_that_are_numbers(pipe):
    called = pipe(REFERENCES, POSES, num_inference_steps=2, guidance_scale=2.0, seed=3)
    generated = pipe.generate(REFERENCES, POSES, Sampling(2, 2.0, seed=3), pipe.named_noise(3, ["0", "1"], ["0", "1"]))
    for one, other in zip(called, generated, strict=True):
        assert [difference(a, b) for a, b in zip(one, other, strict=True)] == [0, 0]


def test_guidance_is_the_presets_where_none_is_named(pipe):
    named = pipe(REFERENCES[:1], POSES[:1], 2, guidance_scale=pipe.preset.generation.guidance_scale)
    assert difference(pipe(REFERENCES[:1], POSES[:1], 2)[0][0], named[0][0]) == 0


def test_encoded_poses_and_arrays_stand_in_for_pictures(pipe):
    expected = pipe(REFERENCES[:1], POSES, num_inference_steps=1)
    features = pipe.encode_pose(pipe.preprocess_poses(POSES))
    assert features.shape == (2, pipe.preset.unet.block_out_channels[0], 16, 8)
    encoded = pipe.generate_from_features(REFERENCES[:1], features, Sampling(1))
    arrays = pipe([np.asarray(REFERENCES[0])], [np.asarray(pose) for pose in POSES], num_inference_steps=1)
    for other in (encoded, arrays):
        assert all(difference(a, b) == 0 for a, b in zip(expected[0], other[0], strict=True))


def test_nobody_in_no_pose_is_no_picture(pipe):
    features = pipe.encode_pose(pipe.preprocess_poses(POSES))
    assert pipe.generate_from_features([], features) == []
    assert pipe.generate_from_features(REFERENCES, features[:0]) == [[], []]


class StubVAE:
    """An autoencoder that changes nothing, and remembers what it was shown."""

    config = SimpleNamespace(scaling_factor=0.5)

    def encode(self, pictures):
        self.shown = pictures
        return SimpleNamespace(latent_dist=SimpleNamespace(mean=pictures))

    def decode(self, latents):
        return SimpleNamespace(sample=latents)


def test_pictures_reach_the_autoencoder_in_its_range_and_come_back(pipe, monkeypatch):
    monkeypatch.setattr(pipe, "vae", StubVAE())
    sizes = pipe.preset.generation
    shown = picture(5, (sizes.width, sizes.height))
    assert (sizes.width, sizes.height) == (sizes.output_width, sizes.output_height)  # nothing is resized
    latents = pipe.encode_pictures([shown])
    pixels = torch.from_numpy(np.array(shown)).permute(2, 0, 1)[None].float()
    torch.testing.assert_close(pipe.vae.shown, pixels / 127.5 - 1)
    assert pipe.vae.shown.min() == -1 and pipe.vae.shown.max() == 1
    torch.testing.assert_close(latents, 0.5 * pipe.vae.shown)
    assert difference(pipe.decode(latents)[0], shown) <= 1


def test_unconditional_tokens_are_those_of_a_zero_picture(pipe):
    zero = pipe.encode_identity(torch.zeros(1, 3, 128, 64))
    assert torch.equal(pipe.encode_uncond(), zero) and zero.shape == (1, 8, 128) and zero.any()


def test_bfloat16(mini_weights):
    pipe = IPGPipeline.from_pretrained(mini_weights, preset="mini", device="cpu", dtype=torch.bfloat16)
    assert pipe.encode_uncond().dtype == torch.bfloat16
    assert pipe(REFERENCES[:1], POSES[:1], num_inference_steps=1)[0][0].size == (64, 128)


def test_output_size_is_the_presets(pipe, monkeypatch):
    monkeypatch.setattr(pipe.preset.generation, "output_height", 32)
    assert pipe.decode(torch.zeros(1, *pipe.preset.latent_shape))[0].size == (64, 32)


def test_without_a_vae_latents_still_work(mini_weights, tmp_path):
    for path in mini_weights.glob("*.safetensors"):
        (tmp_path / path.name).symlink_to(path)
    pipe = IPGPipeline.from_pretrained(tmp_path, preset="mini", device="cpu")
    assert pipe.vae is None and pipe.encode_uncond().shape == (1, 8, 128)
    with pytest.raises(UserError, match="no picture autoencoder"):
        pipe(REFERENCES[:1], POSES[:1], num_inference_steps=1)
    with_vae = IPGPipeline.from_pretrained(tmp_path, preset="mini", vae=mini_weights / "vae", device="cpu")
    assert with_vae.vae is not None


def test_mistakes_are_told_in_one_line(mini_weights, tmp_path, pipe):
    with pytest.raises(UserError, match=r"weights directory .* does not exist"):
        IPGPipeline.from_pretrained(tmp_path / "nowhere", preset="mini")
    with pytest.raises(UserError, match=r"no denoising_unet.safetensors, .pth or .pth.tar in"):
        IPGPipeline.from_pretrained(tmp_path, preset="mini")
    with pytest.raises(UserError, match="unknown preset"):
        IPGPipeline.from_pretrained(mini_weights, preset="giant")
    with pytest.raises(UserError, match="does not fit"):
        IPGPipeline.from_pretrained(mini_weights, preset="sd15")
    with pytest.raises(UserError, match=r"noise of shape \(1, 2, .* for 2 references and 2 poses"):
        pipe.generate(REFERENCES, POSES, noise=pipe.named_noise(0, ["a"], ["x", "y"]))


def test_half_precision_changes_little(mini_weights, pipe):
    expected = pipe(REFERENCES[:1], POSES, num_inference_steps=2)
    half = IPGPipeline.from_pretrained(mini_weights, preset="mini", device="cpu", dtype=torch.bfloat16)
    images = half(REFERENCES[:1], POSES, num_inference_steps=2)
    assert all(difference(a, b) <= 16 for a, b in zip(expected[0], images[0], strict=True))


def test_an_unknown_kernel_is_refused(pipe):
    with pytest.raises(UserError, match="choose one of: sdpa, xformers"):
        pipe.optimise(kernel="flash")


def test_a_reid_network_of_another_kind_is_refused(mini_weights, tmp_path):
    for path in mini_weights.iterdir():
        (tmp_path / path.name).symlink_to(path)
    tensors = load_file(mini_weights / "transformer_20.safetensors")
    branches = ("b1.", "b2.", *(f"{kind}_{part}." for kind in ("classifier", "bottleneck") for part in range(1, 5)))
    (tmp_path / "transformer_20.safetensors").unlink()
    whole = {name: tensor for name, tensor in tensors.items() if not name.startswith(branches)}
    save_file(whole, tmp_path / "transformer_20.safetensors")
    with pytest.raises(UserError, match="the ReID network gives 128 numbers, but the IFR takes 640"):
        IPGPipeline.from_pretrained(tmp_path, preset="mini", device="cpu")


def test_fused_draws_the_same_pictures(mini_weights, pipe):
    people = [REFERENCES[0], [*REFERENCES, picture(7)]]
    fused = IPGPipeline.from_pretrained(mini_weights, preset="mini", device="cpu").optimise(fused=True)
    for settings in (Sampling(2), Sampling(2, guidance_scale=1.0), Sampling(3, feature_interval=2)):
        expected, found = (one.generate(people, POSES, settings, batch_size=3) for one in (pipe, fused))
        assert max(difference(a, b) for rows in zip(expected, found) for a, b in zip(*rows)) <= 1  # noqa: B905


def test_references_in_batches_are_encoded_as_one_by_one(pipe):
    people = [[REFERENCES[0]], [REFERENCES[1].convert("RGB"), picture(7)], [picture(8)]]
    expected = pipe.encode_people(people)
    for (tokens, features), (found_tokens, found) in zip(expected, pipe.encode_people(people, at_once=3), strict=True):
        torch.testing.assert_close(found_tokens, tokens, rtol=1e-4, atol=1e-5)
        assert len(found) == len(features) and found.keys() == features.keys()
        for name, sides in features.items():
            for one, other in zip(found[name], sides, strict=True):
                torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)
