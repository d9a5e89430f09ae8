"""The networks: official tensor names and shapes, reference attention, the scheduler."""

import json
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel

from IPG.models import Reference, build_scheduler, project_reference, reference_attention
from IPG.models.denoising_unet import PosedConv2d
from pose2id.errors import UserError
from pose2id.presets import load_preset
from tests.ipg.tiny import BUILDERS, random_network, tiny_preset

OFFICIAL = json.loads((Path(__file__).parent.parent / "golden" / "official_ipg.json").read_text())


@pytest.fixture(scope="module")
def preset():
    return tiny_preset()


@pytest.fixture(scope="module")
def unet(preset):
    return random_network("denoising_unet", preset, 1)


@pytest.fixture(scope="module")
def reference_unet(preset):
    return random_network("reference_unet", preset, 2)


@pytest.fixture(scope="module")
def inputs(preset):
    """Latents, tokens, pose features of three pictures."""
    generator = torch.Generator().manual_seed(3)
    shapes = (preset.latent_shape, (5, 24), (32, *preset.latent_shape[1:]))
    return [torch.randn(3, *shape, generator=generator) for shape in shapes]


@pytest.mark.parametrize("file", OFFICIAL)
def test_names_and_shapes_equal_the_official_files(file):
    with torch.device("meta"):
        network = BUILDERS[file.removesuffix(".pth")](load_preset("sd15"))
    assert {name: list(tensor.shape) for name, tensor in network.state_dict().items()} == OFFICIAL[file]


def test_unknown_preset_lists_the_choices():
    with pytest.raises(UserError, match=r"unknown preset 'huge'.*mini, sd15"):
        load_preset("huge")


def stock_copy(unet):
    """diffusers' own network and processors with the same weights."""
    config = {key: value for key, value in unet.config.items() if not key.startswith("_")}
    stock = UNet2DConditionModel(**config).eval()
    stock.load_state_dict(unet.state_dict(), strict=False)
    return stock


def hook_reference_attention(stock, kept):
    """Written anew: softmax attention over [own ; reference], replacing each self-attention's output by a hook."""

    def attend(name):
        def hook(attn, args):
            own = args[0]
            every = torch.cat([own, kept[name]], dim=1)
            heads = []
            for head in range(attn.heads):
                size = own.shape[-1] // attn.heads
                part = slice(head * size, (head + 1) * size)
                q, k, v = attn.to_q(own)[..., part], attn.to_k(every)[..., part], attn.to_v(every)[..., part]
                heads.append(torch.softmax(q @ k.transpose(1, 2) / size**0.5, dim=-1) @ v)
            return attn.to_out[0](torch.cat(heads, dim=-1))

        return lambda attn, args, output: hook(attn, args)

    for name, module in stock.named_modules():
        if name.endswith(".attn1"):
            module.register_forward_hook(attend(name.removesuffix(".attn1")))


@torch.no_grad()
def test_both_unets_equal_a_naive_rebuild_on_the_stock_network(unet, reference_unet, inputs):
    latents, tokens, pose = inputs
    kept, stock = {}, stock_copy(reference_unet)
    for name, module in stock.named_modules():
        if name.endswith(".norm1") and "transformer_blocks" in name:
            module.register_forward_hook(
                lambda module, args, output, name=name: kept.update({name.removesuffix(".norm1"): output})
            )
    stock(latents, 0, tokens)
    features = reference_unet(latents, tokens)
    assert features.keys() == kept.keys()
    for name in kept:
        torch.testing.assert_close(features[name], kept[name], rtol=1e-4, atol=1e-5)

    stock = stock_copy(unet)
    stock.conv_in.register_forward_hook(lambda module, args, output: output + pose)
    plain = stock(latents, 700, tokens).sample
    torch.testing.assert_close(unet(latents, 700, tokens, pose), plain, rtol=1e-4, atol=1e-5)
    hook_reference_attention(stock, kept)
    expected = stock(latents, 700, tokens).sample
    assert (expected - plain).abs().max() > 1e-3
    torch.testing.assert_close(unet(latents, 700, tokens, pose, features), expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_projected_features_give_the_same_prediction(unet, reference_unet, inputs):
    latents, tokens, pose = inputs
    features = reference_unet(latents, tokens)
    ours = unet(latents, 5, tokens, pose, project_reference(unet, features))
    torch.testing.assert_close(ours, unet(latents, 5, tokens, pose, features), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_batch_of_one_is_shared(unet, reference_unet, inputs):
    latents, tokens, pose = inputs
    shared = reference_unet(latents[:1], tokens[:1])
    repeated = {name: kept.repeat(3, 1, 1) for name, kept in shared.items()}
    ours = unet(latents, 5, tokens[:1], pose[:1], shared)
    expected = unet(latents, 5, tokens[:1].repeat(3, 1, 1), pose[:1].repeat(3, 1, 1, 1), repeated)
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_masked_rows_do_without_the_reference(unet, reference_unet, inputs):
    latents, tokens, pose = inputs
    features = reference_unet(latents, tokens)
    timesteps = torch.tensor([10, 500, 999])
    mixed = unet(latents, timesteps, tokens, pose, Reference(features, torch.tensor([[1.0], [0.0], [1.0]])))
    with_reference = unet(latents, timesteps, tokens, pose, features)
    without = unet(latents, timesteps, tokens, pose)
    torch.testing.assert_close(mixed[[0, 2]], with_reference[[0, 2]], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(mixed[1], without[1], rtol=1e-4, atol=1e-5)
    assert (with_reference[1] - without[1]).abs().max() > 1e-3


def test_gradients_reach_all_that_is_trained(unet, reference_unet, inputs):
    """All but what lies behind the reference UNet's last kept tokens, which the official files also leave unused."""
    latents, tokens, pose = inputs
    tokens, pose = tokens.clone().requires_grad_(), pose.clone().requires_grad_()
    unet(latents, 5, tokens, pose, reference_unet(latents, tokens)).square().mean().backward()
    assert tokens.grad.any() and pose.grad.any()
    assert all(parameter.grad.any() for parameter in unet.parameters())
    last = "up_blocks.1.attentions.1."
    used = ("norm.", "proj_in.", "transformer_blocks.0.norm1.")
    for name, parameter in reference_unet.named_parameters():
        behind = name.startswith(last) and not name.removeprefix(last).startswith(used)
        assert (parameter.grad is None) == behind, name
    unet.zero_grad()
    reference_unet.zero_grad()


def test_calls_leave_nothing_behind(unet, reference_unet, inputs):
    latents, tokens, pose = inputs
    with torch.no_grad():
        before = unet(latents, 5, tokens, pose)
        unet(latents, 5, tokens, pose, reference_unet(latents, tokens))
        assert torch.equal(unet(latents, 5, tokens, pose), before)


def test_posed_convolution_needs_the_pose():
    with pytest.raises(RuntimeError):
        PosedConv2d(4, 8, 3, padding=1)(torch.zeros(1, 4, 5, 5))


def test_untrained_pose_guider_adds_nothing(preset):
    guider = BUILDERS["pose_guider"](preset)
    features = guider(torch.rand(2, 3, 128, 64))
    assert features.shape == (2, 32, 16, 8) and not features.any()


def test_ifr_is_a_normalised_projection(preset):
    ifr = random_network("IFR", preset)
    features = torch.randn(2, 640)
    tokens = (features @ ifr.proj_motion.weight.T + ifr.proj_motion.bias).reshape(2, 8, 24)
    centred = tokens - tokens.mean(-1, keepdim=True)
    tokens = centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()
    expected = tokens * ifr.norm_motion.weight + ifr.norm_motion.bias
    torch.testing.assert_close(ifr(features), expected, rtol=1e-4, atol=1e-5)


def test_scheduler_starts_from_pure_noise(preset):
    scheduler = build_scheduler(preset)
    scheduler.set_timesteps(20)
    assert scheduler.timesteps.tolist() == list(range(999, 48, -50))
    assert scheduler.alphas_cumprod[-1].item() == pytest.approx(0, abs=1e-6)
    assert scheduler.config.prediction_type == "v_prediction"


@pytest.mark.parametrize("block", [2**5, 2**22])
def test_attention_in_blocks_equals_the_whole(monkeypatch, block):
    monkeypatch.setattr(reference_attention, "BLOCK_ELEMENTS", block)
    generator = torch.Generator().manual_seed(0)
    queries, keys, values = (torch.randn(2, 3, n, 8, generator=generator).bfloat16() for n in (7, 11, 11))
    weights = (queries.double() @ keys.double().transpose(2, 3) / 8**0.5).softmax(-1)
    with torch.inference_mode():
        found = reference_attention.sdpa(queries, keys, values, None)
    torch.testing.assert_close(found.double(), weights @ values.double(), rtol=0.03, atol=0.02)
