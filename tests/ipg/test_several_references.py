"""Several pictures of one person: all of them are seen, and copies add nothing."""

import numpy as np
import pytest
import torch
from PIL import Image

from IPG import IPGPipeline, Sampling
from IPG.models import Reference, project_reference, stack_references
from IPG.networks import mean_identity
from pose2id.errors import UserError

QUICK = Sampling(2)


def picture(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (128, 64, 3), dtype=np.uint8))


POSES = [picture(10), picture(11)]


@pytest.fixture(scope="module")
def pipe(mini_weights):
    return IPGPipeline.from_pretrained(mini_weights, preset="mini", device="cpu")


def differences(pipe, first, second) -> int:
    """The largest between what two references lead to, of 255."""
    pairs = zip(*(pipe.generate([reference], POSES, QUICK)[0] for reference in (first, second)), strict=True)
    return max(int(np.abs(np.asarray(a, int) - np.asarray(b, int)).max()) for a, b in pairs)


def test_one_picture_is_one_picture_however_it_is_given(pipe):
    assert differences(pipe, picture(0), [picture(0)]) == 0


def test_copies_are_as_good_as_one(pipe):
    assert differences(pipe, [picture(0), picture(1)], [picture(0), picture(1)] * 3) <= 1


def test_every_picture_matters_and_their_order_does_not(pipe):
    assert differences(pipe, [picture(0), picture(1)], picture(0)) > 2
    assert differences(pipe, [picture(0), picture(1)], [picture(1), picture(0)]) <= 1


def test_people_with_more_and_with_fewer_pictures_go_together(pipe):
    people = [picture(0), [picture(1), picture(2), picture(3)], [picture(4), picture(5)]]
    together = pipe.generate(people, POSES, QUICK, batch_size=4)
    numbers = [str(i) for i in range(3)]
    noise = pipe.named_noise(QUICK.seed, numbers, ["0", "1"])
    for i, person in enumerate(people):
        alone = pipe.generate([person], POSES, QUICK, noise[i : i + 1])[0]
        for a, b in zip(alone, together[i], strict=True):
            assert np.abs(np.asarray(a, int) - np.asarray(b, int)).max() <= 1


@pytest.mark.parametrize("count", [0, 9])
def test_how_many_there_may_be(pipe, count):
    with pytest.raises(UserError, match=f"{count} pictures of one person; give 1 to 8"):
        pipe.generate([[picture(0)] * count], POSES, QUICK)


def test_the_identity_is_the_mean_direction():
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(3, 6, generator=generator) * torch.tensor([[1.0], [5.0], [2.0]])
    units = [row / row.square().sum().sqrt() for row in features]
    mean = sum(units) / 3
    length = sum(row.square().sum().sqrt() for row in features) / 3
    assert torch.allclose(mean_identity(features)[0], mean / mean.square().sum().sqrt() * length, atol=1e-6)
    assert torch.equal(mean_identity(features[:1]), features[:1])


def test_weights_multiply_what_the_softmax_gives(pipe):
    """Against a softmax written out, in one block, of two pictures with weights that differ from row to row."""
    unet = pipe.denoising_unet
    name = next(name for name, _ in unet.named_modules() if name.endswith(".attn1")).removesuffix(".attn1")
    attn = unet.get_submodule(f"{name}.attn1")
    generator = torch.Generator().manual_seed(0)
    own = torch.randn(2, 5, attn.to_q.in_features, generator=generator)
    kept = torch.randn(2, 8, attn.to_q.in_features, generator=generator)  # two pictures of four tokens
    weights = torch.tensor([[0.5, 0.5], [1.0, 0.0]])
    with torch.no_grad():
        found = attn.processor(attn, own, reference=Reference({name: kept}, weights))
        shares = torch.cat([torch.ones(2, 5), weights.repeat_interleave(4, 1)], 1)
        everything = torch.cat([own, kept], 1)
        queries, keys, values = (
            project(tokens).unflatten(-1, (attn.heads, -1)).transpose(1, 2)
            for project, tokens in ((attn.to_q, own), (attn.to_k, everything), (attn.to_v, everything))
        )
        scores = (queries @ keys.transpose(2, 3) / keys.shape[-1] ** 0.5).exp() * shares[:, None, None]
        hidden = (scores / scores.sum(-1, keepdim=True)) @ values
        expected = attn.to_out[0](hidden.transpose(1, 2).flatten(2))
    assert torch.allclose(found, expected, atol=1e-5)


def test_stacked_people_are_filled_with_what_nobody_sees(pipe):
    tokens = pipe.encode_uncond()
    latents = torch.randn(3, *pipe.preset.latent_shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        kept = [pipe.reference_unet(row, tokens.expand(len(row), -1, -1)) for row in (latents[:1], latents[1:])]
        people = [project_reference(pipe.denoising_unet, one) for one in kept]
    stacked = stack_references(people)
    assert stacked.weights.tolist() == [[1.0, 0.0], [0.5, 0.5]]
    assert stack_references(people[:1]).weights is None
    for name, (keys, _) in stacked.features.items():
        count = people[0][name][0].shape[1]
        assert torch.equal(keys[0, :count], people[0][name][0][0]) and not keys[0, count:].any()
        assert torch.equal(keys[1], people[1][name][0].flatten(0, 1))
