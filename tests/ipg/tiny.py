"""The real networks at tiny sizes with random weights."""

import re

import torch
from torch import Tensor, nn

from IPG.models import build_denoising_unet, build_ifr, build_pose_guider, build_reference_unet
from NFC.networks.transreid import TransReID
from pose2id.presets import Preset, VAESizes, load_preset

BUILDERS = {
    "denoising_unet": build_denoising_unet,
    "reference_unet": build_reference_unet,
    "pose_guider": build_pose_guider,
    "IFR": build_ifr,
    "transformer_20": lambda preset: TransReID.from_sizes(preset.reid),
}

ORIGINAL_VAE_NAMES = {
    "down_blocks.": "down.",
    ".resnets.": ".block.",
    ".downsamplers.0.": ".downsample.",
    ".upsamplers.0.": ".upsample.",
    "mid_block.attentions.0.": "mid.attn_1.",
    ".group_norm.": ".norm.",
    ".to_q.": ".q.",
    ".to_k.": ".k.",
    ".to_v.": ".v.",
    ".to_out.0.": ".proj_out.",
    ".conv_shortcut.": ".nin_shortcut.",
    ".conv_norm_out.": ".norm_out.",
}


def tiny_preset() -> Preset:
    preset = load_preset("mini")
    preset.unet.block_out_channels = [32, 64]
    preset.unet.norm_num_groups = 8
    preset.unet.cross_attention_dim = 24
    return preset


def kl_preset() -> Preset:
    """The tiny preset with a small autoencoder of the kind that `sd15` uses."""
    preset = tiny_preset()
    preset.vae = VAESizes(
        latent_channels=preset.unet.in_channels,
        block_out_channels=[16, 16, 32, 32],
        layers_per_block=[1],
        norm_num_groups=8,
    )
    return preset


def original_names(tensors: dict[str, Tensor], blocks: int) -> dict[str, Tensor]:
    """A KL autoencoder's tensors as the original Stable Diffusion code names them; its attention is of convolutions."""
    renamed = {}
    for name, tensor in tensors.items():
        if "attentions" in name and name.endswith("weight") and "group_norm" not in name:
            tensor = tensor[:, :, None, None]
        name = re.sub(r"up_blocks\.(\d+)\.", lambda match: f"up.{blocks - 1 - int(match[1])}.", name)
        name = re.sub(r"mid_block\.resnets\.(\d)", lambda match: f"mid.block_{int(match[1]) + 1}", name)
        for today, before in ORIGINAL_VAE_NAMES.items():
            name = name.replace(today, before)
        renamed[name] = tensor
    return renamed


def random_network(name: str, preset: Preset, seed: int = 0) -> nn.Module:
    """A network in evaluation mode whose zero-initialised layers are random too."""
    torch.manual_seed(seed)
    network = BUILDERS[name](preset).eval()
    for parameter in network.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.1)
    return network
