"""The generator's weights, read from their files into networks, strictly and without executing anything."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import nn

from NFC.networks import Extractor, build_extractor
from pose2id.presets import Preset
from pose2id.weights import load_module, load_tensors, read_tensors, strip_prefix

from ..models import NETWORKS, VAE, VAE_KINDS, build_vae
from ..private import convert_ldm_vae_checkpoint
from .vae_folder import read_vae_folder, todays_names


def load_networks(files: Mapping[str, Path], preset: Preset) -> dict[str, nn.Module]:
    """The networks of `NETWORKS` by file stem, from `files`, by stem as well; `UserError` for one that does not fit."""
    return {stem: load_module(partial(network.build, preset), files[stem]) for stem, network in NETWORKS.items()}


def load_vae(path: str | Path, preset: Preset) -> VAE:
    """A diffusers folder (with its own config.json), also of `AutoencoderTiny`, or one file of the preset's sizes.

    The file may have diffusers' names, today's or older ones, or the names of the original Stable Diffusion code
    (`vae-ft-mse-840000-ema-pruned`), also inside a whole model's file.
    """
    path = Path(path)
    if path.is_dir():
        return read_vae_folder(path, VAE_KINDS[preset.vae.kind], preset.vae.latent_channels)
    with torch.device("meta"):
        vae = build_vae(preset.vae)
    tensors = strip_prefix(read_tensors(path))
    if any("encoder.down.0.block.0." in name for name in tensors):
        tensors = convert_ldm_vae_checkpoint(tensors, vae.config)
    load_tensors(vae, todays_names(tensors), path)
    return vae


def identity_network(weights: str | Path, preset: str, device: str | torch.device | None = None) -> Extractor:
    """The ReID network that identity tokens come from, `transformer_20`; it sees pictures Lanczos-resized.

    So the official script shows them to it; in evaluation the same network sees them as its own tests do.
    """
    extractor = build_extractor("transreid", weights, preset, device)
    extractor.preprocessing = replace(extractor.preprocessing, resize="lanczos")
    return extractor
