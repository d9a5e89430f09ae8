"""The generator's weights, read from their files into networks, strictly and without executing anything."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from diffusers import AutoencoderDC, AutoencoderKL
from torch import nn

from NFC.networks import Extractor, build_extractor
from pose2id.errors import UserError
from pose2id.presets import Preset
from pose2id.weights import load_module, load_tensors, read_tensors

from .models import NETWORKS, VAE, build_vae
from .private import convert_ldm_vae_checkpoint

# Attention of the picture autoencoder: names of older diffusers files -> today's.
OLD_VAE_NAMES = {".query.": ".to_q.", ".key.": ".to_k.", ".value.": ".to_v.", ".proj_attn.": ".to_out.0."}


def load_networks(files: Mapping[str, Path], preset: Preset) -> dict[str, nn.Module]:
    """The networks of `NETWORKS` by file stem, from `files`, by stem as well; `UserError` for one that does not fit."""
    return {stem: load_module(partial(network.build, preset), files[stem]) for stem, network in NETWORKS.items()}


def load_vae(path: str | Path, preset: Preset) -> VAE:
    """A diffusers folder (with its own config.json), or one file of the preset's sizes.

    The file may have diffusers' names, today's or older ones, or the names of the original Stable Diffusion code
    (`vae-ft-mse-840000-ema-pruned`), also inside a whole model's file.
    """
    path = Path(path)
    if path.is_dir():
        kind = AutoencoderDC if preset.vae.kind == "dc" else AutoencoderKL
        try:
            return kind.from_pretrained(path, local_files_only=True)
        except (OSError, ValueError) as error:
            reason = " ".join(str(error).split("\n")[0].split())
            raise UserError(f"{path} is not a diffusers {kind.__name__} folder: {reason}") from error
    with torch.device("meta"):
        vae = build_vae(preset.vae)
    tensors = read_tensors(path)
    if any("encoder.down.0.block.0." in name for name in tensors):
        tensors = convert_ldm_vae_checkpoint(tensors, vae.config)
    load_tensors(vae, {_today(name): tensor for name, tensor in tensors.items()}, path)
    return vae


def _today(name: str) -> str:
    for old, new in OLD_VAE_NAMES.items():
        name = name.replace(old, new)
    return name


def identity_network(weights: str | Path, preset: str, device: str | torch.device | None = None) -> Extractor:
    """The ReID network that identity tokens come from, `transformer_20`; it sees pictures Lanczos-resized.

    So the official script shows them to it; in evaluation the same network sees them as its own tests do.
    """
    extractor = build_extractor("transreid", weights, preset, device)
    extractor.preprocessing = replace(extractor.preprocessing, resize="lanczos")
    return extractor
