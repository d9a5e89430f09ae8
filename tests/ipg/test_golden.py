"""The official networks' own numbers, with recipe weights at full size: slow, several GB of memory."""

from pathlib import Path

import numpy as np
import pytest
import torch

from IPG.models import (
    Reference,
    build_denoising_unet,
    build_ifr,
    build_pose_guider,
    build_reference_unet,
    project_reference,
)
from IPG.models.channels_last import set_channels_last_blocks
from IPG.models.fused_attention import place_reference, project_tokens, set_fused_processors
from NFC.networks.transreid import TransReID
from pose2id.presets import load_preset
from tests.commands import LARGE
from tests.golden.recipe import fill, normal, uniform

pytestmark = [pytest.mark.slow, LARGE]

SD15 = load_preset("sd15")


@pytest.fixture(scope="module")
def golden():
    with np.load(Path(__file__).parent.parent / "golden" / "ipg.npz") as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays}


def filled(build, stem):
    with torch.device("meta"):
        module = build(SD15)
    module = module.to_empty(device="cpu").eval().requires_grad_(False)
    fill(module, stem)
    return module


def assert_close(ours, official):
    assert (ours - official).abs().max() <= 1e-4 * official.abs().max()


def test_features_and_tokens(golden):
    images = uniform(1, -1, 1, (2, 3, 256, 128))
    images[0] = 0
    network = filled(lambda preset: TransReID.from_sizes(preset.reid), "transformer_20")
    features = network(images)
    assert_close(features, golden["features"])
    assert_close(features[:, :768], golden["global_feat"])
    assert_close(filled(build_ifr, "IFR")(features), golden["tokens"])


def test_pose_features(golden):
    features = filled(build_pose_guider, "pose_guider")(uniform(2, 0, 1, (2, 3, 1, 512, 256))[:, :, 0])
    assert_close(features.mean((2, 3)), golden["pose_channel_mean"])
    assert_close(features.std((2, 3), correction=0), golden["pose_channel_std"])


def test_conditional_prediction(golden):
    tokens = golden["tokens"][1:]
    pose = filled(build_pose_guider, "pose_guider")(uniform(2, 0, 1, (2, 3, 1, 512, 256))[:1, :, 0])
    kept = filled(build_reference_unet, "reference_unet")(normal(3, (2, 4, 64, 32))[1:], tokens)
    assert len(kept) == 16
    unet = filled(build_denoising_unet, "denoising_unet")
    latents = normal(4, (2, 4, 1, 64, 32))[:1, :, 0]
    assert_close(unet(latents, 999, tokens, pose, kept), golden["cond_t999"])
    assert_close(unet(latents, 999, tokens, pose, project_reference(unet, kept)), golden["cond_t999"])
    placed = place_reference(Reference(project_reference(unet, kept)), batch=1)
    plain = unet(latents, 999, golden["tokens"][:1], pose)
    assert (plain - golden["cond_t999"]).abs().mean() > 0.1
    set_channels_last_blocks(unet, True)
    set_fused_processors(unet)
    assert_close(unet(latents, 999, project_tokens(unet, tokens), pose, placed), golden["cond_t999"])
