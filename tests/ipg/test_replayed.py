import torch

from IPG.models import build_denoising_unet
from IPG.models.replayed import ReplayedUNet
from pose2id.presets import load_preset


def test_small_batches_are_those_that_are_computed_as_fast_as_launched():
    with torch.device("meta"):
        unets = {name: ReplayedUNet(build_denoising_unet(load_preset(name))) for name in ("sd15", "mini")}
    for name, batch, pays in (("sd15", 1, True), ("sd15", 8, True), ("sd15", 9, False), ("mini", 64, True)):
        assert unets[name].pays(torch.Size([batch, *load_preset(name).latent_shape])) == pays, (name, batch)
