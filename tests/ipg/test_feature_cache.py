import pytest
import torch

from IPG.models import project_reference
from IPG.models.feature_cache import FeatureCache
from tests.ipg.tiny import random_network, tiny_preset


@pytest.fixture(scope="module")
def unet():
    return random_network("denoising_unet", tiny_preset())


@pytest.fixture(scope="module")
def calls(unet):
    """Inputs of six consecutive steps."""
    torch.manual_seed(0)
    preset = tiny_preset()
    tokens, pose = torch.randn(2, 8, 24), torch.randn(2, 32, 16, 8)
    with torch.no_grad():
        reference = random_network("reference_unet", preset)(torch.randn(2, *preset.latent_shape), tokens)
        features = project_reference(unet, reference)
    return [(torch.randn(2, *preset.latent_shape), 999 - 100 * i, tokens, pose, features) for i in range(6)]


def naive(unet, calls, every: int) -> list[torch.Tensor]:
    """The complete network every time, whose last up block is then given what it was given before."""
    deep, outputs = None, []

    def swap(block, args, kwargs):
        nonlocal deep
        deep = kwargs["hidden_states"] if number % every == 0 else deep
        return args, kwargs | {"hidden_states": deep}

    handle = unet.up_blocks[-1].register_forward_pre_hook(swap, with_kwargs=True)
    for number, inputs in enumerate(calls):  # noqa: B007 (`swap` reads it)
        outputs.append(unet(*inputs))
    handle.remove()
    return outputs


@torch.no_grad()
@pytest.mark.parametrize("every", [1, 2, 3])
def test_deep_features_are_those_of_the_last_complete_call(unet, calls, every):
    cache = FeatureCache(unet, every)
    for expected, inputs in zip(naive(unet, calls, every), calls, strict=True):
        assert torch.equal(cache(*inputs), expected)


@torch.no_grad()
def test_the_network_itself_keeps_nothing(unet, calls):
    before = unet(*calls[0]), {name: id(part) for name, part in unet.named_modules()}
    first, second = FeatureCache(unet, 2), FeatureCache(unet, 2)
    expected = naive(unet, calls, 2)
    for inputs, output in zip(calls, expected, strict=True):  # two streams at once do not disturb each other
        assert torch.equal(first(*inputs), output)
        second(inputs[0] + 1, *inputs[1:])
    assert torch.equal(unet(*calls[0]), before[0])
    assert {name: id(part) for name, part in unet.named_modules()} == before[1]


@torch.no_grad()
def test_a_shallow_call_leaves_most_of_the_work_out(unet, calls):
    cache, run = FeatureCache(unet, 2), []
    blocks = [*unet.down_blocks, unet.mid_block, *unet.up_blocks]
    handles = [block.register_forward_hook(lambda block, *_: run.append(block)) for block in blocks]
    cache(*calls[0])
    assert len(run) == len(blocks)
    run.clear()
    cache(*calls[1])
    assert len(run) == 2 and run[1] is unet.up_blocks[-1]  # after a twin of the first down block
    for handle in handles:
        handle.remove()
