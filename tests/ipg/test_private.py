"""What other libraries do not promise to keep, as an upgrade of one would break it."""

import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from torch import nn

from IPG.private import allow_recompiling, convert_ldm_vae_checkpoint, move, with_parts
from tests.ipg.tiny import kl_preset, original_names, random_network, tiny_preset

ROOT = Path(__file__).resolve().parents[2]


def test_a_twin_has_other_parts_and_shares_the_rest():
    whole = nn.Sequential(nn.Linear(3, 3), nn.ReLU())
    twin = with_parts(whole, **{"1": nn.Identity()})
    assert twin[0] is whole[0] and isinstance(twin[1], nn.Identity) and isinstance(whole[1], nn.ReLU)
    inputs = torch.randn(2, 3)
    assert torch.equal(twin(inputs), whole[0](inputs)) and torch.equal(whole(inputs), whole[0](inputs).relu())


def test_networks_move_without_a_warning(caplog):
    unet = random_network("denoising_unet", tiny_preset())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        move(unet, torch.device("cpu"), torch.bfloat16, torch.channels_last)
    assert {parameter.dtype for parameter in unet.parameters()} == {torch.bfloat16}
    assert unet.conv_in.weight.is_contiguous(memory_format=torch.channels_last) and not caplog.records


def test_the_limit_of_recompiling_only_grows():
    before = torch._dynamo.config.recompile_limit
    try:
        allow_recompiling(before + 5)
        allow_recompiling(2)
        assert torch._dynamo.config.recompile_limit == before + 5
    finally:
        torch._dynamo.config.recompile_limit = before


def test_original_autoencoder_names_become_todays():
    from IPG.models import build_vae

    vae = build_vae(kl_preset().vae)
    converted = convert_ldm_vae_checkpoint(original_names(vae.state_dict(), blocks=4), vae.config)
    assert converted.keys() == vae.state_dict().keys()


@pytest.mark.parametrize("module", ["IPG.poses.estimate", "IPG.poses.prepare", "IPG.weights.files"])
def test_these_do_without_diffusers(module):
    code = f"import sys, {module}; assert 'diffusers' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=120)
