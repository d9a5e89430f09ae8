"""The forms that a GPU computes in, against the plain ones, on the CPU; the kernel itself is in test_group_norm.py."""

import pytest
import torch

from IPG.models import Reference, project_reference, stack_references
from IPG.models.channels_last import ChannelsLastResnet, ChannelsLastTransformer, set_channels_last_blocks
from IPG.models.fused_attention import FusedReader, place_reference, project_tokens, set_fused_processors
from IPG.models.vae import build_vae, decode_latents
from tests.ipg.tiny import kl_preset, random_network, tiny_preset

ROWS = 3
CLOSE = {"rtol": 1e-4, "atol": 1e-4}


@pytest.fixture(scope="module")
def preset():
    return tiny_preset()


@pytest.fixture(scope="module")
def networks(preset):
    """A plain denoising UNet, a fused one of the same weights, and a reference UNet."""
    plain, fused = (random_network("denoising_unet", preset, 1) for _ in range(2))
    fuse(fused)
    return plain, fused, random_network("reference_unet", preset, 2)


def fuse(unet):
    unet.to(memory_format=torch.channels_last)
    set_channels_last_blocks(unet, True)
    set_fused_processors(unet)


@pytest.fixture(scope="module")
def inputs(preset):
    """Latents, tokens, pose features of three pictures."""
    generator = torch.Generator().manual_seed(3)
    shapes = (preset.latent_shape, (5, 24), (32, *preset.latent_shape[1:]))
    return [torch.randn(ROWS, *shape, generator=generator) for shape in shapes]


@torch.no_grad()
def references(networks, inputs, counts):
    """A person a count, with as many pictures."""
    plain, _, reference_unet = networks
    latents, tokens, _ = inputs
    return stack_references(
        [
            project_reference(plain, reference_unet(latents[:count] + row, tokens[:1].expand(count, -1, -1)))
            for row, count in enumerate(counts)
        ]
    )


@torch.no_grad()
@pytest.mark.parametrize("counts", [(1, 1, 1), (1,), (1, 3, 2)])
def test_placed_references_and_projected_tokens_over_steps(networks, inputs, counts):
    plain, fused, _ = networks
    latents, tokens, pose = inputs
    reference = references(networks, inputs, counts)
    placed, projected = place_reference(reference, ROWS), project_tokens(fused, tokens)
    for t in (900, 500, 20):
        expected = plain(latents + t, t, tokens, pose, reference)
        torch.testing.assert_close(fused(latents + t, t, projected, pose, placed), expected, **CLOSE)
        torch.testing.assert_close(fused(latents + t, t, tokens, pose, reference), expected, **CLOSE)


@torch.no_grad()
def test_without_reference_and_with_one_row_of_tokens(networks, inputs):
    plain, fused, _ = networks
    latents, tokens, pose = inputs
    expected = plain(latents, 500, tokens[:1], pose[:1])
    projected = project_tokens(fused, tokens[:1])
    torch.testing.assert_close(fused(latents, 500, projected, pose[:1], None), expected, **CLOSE)


@torch.no_grad()
def test_in_bfloat16(preset, networks, inputs):
    plain, fused = (random_network("denoising_unet", preset, 1).bfloat16() for _ in range(2))
    fuse(fused)
    latents, tokens, pose = (x.bfloat16() for x in inputs)
    exact = references(networks, inputs, (1, 2, 1))
    features = {name: tuple(x.bfloat16() for x in kept) for name, kept in exact.features.items()}
    placed = place_reference(Reference(features, exact.weights), ROWS)
    expected = networks[0](latents.float(), 500, inputs[1], pose.float(), exact)
    errors = [
        (found.float() - expected).norm() / expected.norm()
        for found in (
            fused(latents, 500, project_tokens(fused, tokens), pose, placed),
            plain(latents, 500, tokens, pose, Reference(features, exact.weights)),
        )
    ]
    assert errors[0] < 1.2 * errors[1] < 0.05


@torch.no_grad()
def test_every_block_stays_channels_last(networks, inputs):
    _, fused, _ = networks
    blocks = [block for block in fused.modules() if isinstance(block, ChannelsLastResnet | ChannelsLastTransformer)]
    strays = []

    def look(block, args, output):
        found = output[0] if isinstance(output, tuple) else output
        if not found.is_contiguous(memory_format=torch.channels_last):
            strays.append(block)

    handles = [block.register_forward_hook(look) for block in blocks]
    fused(inputs[0], 500, *inputs[1:])
    for handle in handles:
        handle.remove()
    assert blocks and not strays


def test_tensor_names_stay_and_blocks_can_be_plain_again(preset):
    unet, fused = (random_network("denoising_unet", preset) for _ in range(2))
    kinds = [type(module) for module in unet.modules()]
    fuse(fused)
    assert fused.state_dict().keys() == unet.state_dict().keys()
    assert any(isinstance(processor, FusedReader) for processor in fused.attn_processors.values())
    set_channels_last_blocks(fused, False)
    assert [type(module) for module in fused.modules()] == kinds


@torch.no_grad()
def test_the_decoder():
    preset = kl_preset()
    torch.manual_seed(0)
    vae, latents = build_vae(preset.vae).eval(), torch.randn(2, *preset.latent_shape)
    expected = decode_latents(vae, latents)
    set_channels_last_blocks(vae.to(memory_format=torch.channels_last), True)
    torch.testing.assert_close(decode_latents(vae, latents), expected, **CLOSE)


@torch.no_grad()
def test_it_compiles_in_whole_blocks(preset, networks, inputs):
    """Without the slow backend: what matters is that nothing breaks the graph."""
    _, fused, _ = networks
    latents, tokens, pose = inputs
    placed, projected = place_reference(references(networks, inputs, (1, 2, 1)), ROWS), project_tokens(fused, tokens)
    expected = fused(latents, 500, projected, pose, placed)
    compiled = random_network("denoising_unet", preset, 1)
    fuse(compiled)
    for block in (part for part in compiled.modules() if type(part).__name__ == "BasicTransformerBlock"):
        block.compile(fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(latents, 500, projected, pose, placed), expected, **CLOSE)
