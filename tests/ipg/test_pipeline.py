import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from IPG import IPGPipeline
from IPG.models import SCHEDULERS, build_scheduler, reference_attention
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
    names = {"reference_names": ["a", "b"], "pose_names": ["x", "y"]}
    images = pipe(REFERENCES, POSES, num_inference_steps=2, batch_size=1, **names)
    alone = pipe(REFERENCES[1:], POSES[1:], 2, reference_names=["b"], pose_names=["y"])
    assert difference(images[1][1], alone[0][0]) <= 1
    together = pipe(REFERENCES, POSES, num_inference_steps=2, **names)
    assert difference(images[0][1], together[0][1]) <= 1
    other_seed = pipe(REFERENCES[1:], POSES[1:], 2, seed=1, reference_names=["b"], pose_names=["y"])
    assert difference(other_seed[0][0], alone[0][0]) > 5


def test_encoded_poses_and_arrays_stand_in_for_pictures(pipe):
    expected = pipe(REFERENCES[:1], POSES, num_inference_steps=1)
    features = pipe.encode_pose(pipe.preprocess_poses(POSES))
    assert features.shape == (2, pipe.preset.unet.block_out_channels[0], 16, 8)
    encoded = pipe(REFERENCES[:1], None, num_inference_steps=1, pose_features=features)
    arrays = pipe([np.asarray(REFERENCES[0])], [np.asarray(pose) for pose in POSES], num_inference_steps=1)
    for other in (encoded, arrays):
        assert all(difference(a, b) == 0 for a, b in zip(expected[0], other[0], strict=True))


def test_denoise_is_guided_ddim(pipe):
    """Against DDIM written out: zero terminal SNR, v-prediction, trailing steps, guidance u + s (c - u)."""
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(2, *pipe.preset.latent_shape, generator=generator)
    tokens = pipe.encode_identity(torch.rand(1, 3, 128, 64, generator=generator) * 2 - 1)
    uncond = pipe.encode_uncond()
    pose = pipe.encode_pose(torch.rand(2, 3, 128, 64, generator=generator))
    reference = pipe.encode_reference(torch.randn(1, *pipe.preset.latent_shape, generator=generator), tokens)
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


def test_guidance_of_one_is_the_conditional_prediction_alone(pipe, monkeypatch):
    seen = []
    predict = pipe.predict
    monkeypatch.setattr(pipe, "predict", lambda *a: seen.append(a[4] is None) or predict(*a))
    pipe(REFERENCES[:1], POSES[:1], num_inference_steps=2, guidance_scale=1)
    assert seen == [False, False]
    pipe(REFERENCES[:1], POSES[:1], num_inference_steps=2, guidance_scale=2)
    assert seen == [False, False, False, True, False, True]


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
    with pytest.raises(UserError, match=r"no IFR.safetensors, .pth or .pth.tar in"):
        IPGPipeline.from_pretrained(tmp_path, preset="mini")
    with pytest.raises(UserError, match="unknown preset"):
        IPGPipeline.from_pretrained(mini_weights, preset="giant")
    with pytest.raises(UserError, match="does not fit"):
        IPGPipeline.from_pretrained(mini_weights, preset="sd15")
    with pytest.raises(UserError, match="1 reference names for 2"):
        pipe(REFERENCES, POSES, reference_names=["a"])


class KnowsTheAnswer(IPGPipeline):
    """Predicts as a network would that has learnt one single picture: the exact velocity towards `answer`."""

    def __init__(self, preset, answer):
        self.preset, self.answer, self.device = preset, answer, torch.device("cpu")
        self.alphas = build_scheduler(preset).alphas_cumprod
        self.calls = []

    def predict(self, latents, t, tokens, pose_features, reference_features, cache=None):
        self.calls.append((int(t), reference_features))
        alpha = self.alphas[int(t)]
        noise = (latents - alpha.sqrt() * self.answer) / (1 - alpha).sqrt()
        return alpha.sqrt() * noise - (1 - alpha).sqrt() * self.answer


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_every_scheduler_ends_at_the_learnt_picture(pipe, scheduler):
    answer = torch.randn(1, *pipe.preset.latent_shape, generator=torch.Generator().manual_seed(0))
    knowing = KnowsTheAnswer(pipe.preset, answer)
    latents = torch.randn(2, *pipe.preset.latent_shape, generator=torch.Generator().manual_seed(1))
    result = knowing.denoise(latents, None, None, None, "reference", 8, guidance_scale=1.0, scheduler=scheduler)
    torch.testing.assert_close(result, answer.expand(2, -1, -1, -1), atol=0.05, rtol=0)
    assert len(knowing.calls) == 8


def test_guidance_only_inside_its_interval(pipe):
    knowing = KnowsTheAnswer(pipe.preset, torch.zeros(1, *pipe.preset.latent_shape))
    latents = torch.randn(1, *pipe.preset.latent_shape)
    knowing.denoise(latents, None, None, None, "reference", 20, 3.5, guidance_interval=(300, 700))
    conditional = [t for t, reference in knowing.calls if reference]
    unconditional = [t for t, reference in knowing.calls if not reference]
    assert conditional == list(range(999, 0, -50))
    assert unconditional == [t for t in conditional if 300 <= t <= 700]


def test_half_precision_changes_little(mini_weights, pipe):
    expected = pipe(REFERENCES[:1], POSES, num_inference_steps=2)
    half = IPGPipeline.from_pretrained(mini_weights, preset="mini", device="cpu", dtype=torch.bfloat16)
    images = half(REFERENCES[:1], POSES, num_inference_steps=2)
    assert all(difference(a, b) <= 16 for a, b in zip(expected[0], images[0], strict=True))


@pytest.mark.parametrize("block", [2**5, 2**22])
def test_attention_in_blocks_equals_the_whole(monkeypatch, block):
    monkeypatch.setattr(reference_attention, "BLOCK_ELEMENTS", block)
    generator = torch.Generator().manual_seed(0)
    queries, keys, values = (torch.randn(2, 3, n, 8, generator=generator).bfloat16() for n in (7, 11, 11))
    weights = (queries.double() @ keys.double().transpose(2, 3) / 8**0.5).softmax(-1)
    with torch.inference_mode():
        found = reference_attention.sdpa(queries, keys, values, None)
    torch.testing.assert_close(found.double(), weights @ values.double(), rtol=0.03, atol=0.02)


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
