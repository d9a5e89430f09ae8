"""Weights on disk <-> our modules: read without executing anything, loaded strictly, written atomically."""

from contextlib import suppress
from pathlib import Path

import torch
from diffusers import AutoencoderDC, AutoencoderKL
from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint

from pose2id.errors import UserError
from pose2id.presets import Preset, load_preset
from pose2id.weights import SUFFIXES, assign_tensors, find_weights, read_tensors

from . import official_weights
from .models import VAE, build_vae

GENERATOR = ("denoising_unet", "reference_unet", "pose_guider", "IFR", "transformer_20")
VAE_SUFFIXES = (*SUFFIXES, ".ckpt", ".pt")

# Attention of the picture autoencoder: names of older diffusers files -> today's.
OLD_VAE_NAMES = {".query.": ".to_q.", ".key.": ".to_k.", ".value.": ".to_v.", ".proj_attn.": ".to_out.0."}


def find_generator(directory: str | Path, preset: str, vae: str | Path | None = None) -> dict[str, Path]:
    """All weight files that a picture is drawn with, by role: the five networks' and those of the autoencoder.

    vae: as `load_vae` takes it; None looks in `directory`. When anything lacks, one `UserError` says what, and for the
    official preset where to get it.
    """
    directory = Path(directory)
    vae = Path(vae) if vae else find_vae(directory)
    files = {}
    for stem in GENERATOR:
        with suppress(UserError):
            files[stem] = find_weights(directory, stem)
    lacking = [stem for stem in GENERATOR if stem not in files]
    if vae is None or not vae.exists():
        lacking.append(f"the VAE (a folder vae/ or a file vae.safetensors{f'; {vae} does not exist' if vae else ''})")
    if lacking:
        raise UserError(f"folder {directory} lacks {', '.join(lacking)}{_remedy(directory, preset)}")
    if vae.is_dir():
        parts = sorted(path for path in vae.iterdir() if path.suffix in {".json", ".bin", ".safetensors"})
        return files | {f"vae/{path.name}": path for path in parts}
    return files | {"vae": vae}


def _remedy(directory: Path, preset: str) -> str:
    if load_preset(preset).weights_folder:
        return "; name the folder that holds them with --ckpt_dir"
    return (
        f"\nfetch them: python scripts/download_weights.py --out_dir {directory}\n"
        f"or by hand (each .pth may also be a .safetensors):\n{official_weights.by_hand(directory)}\n"
        "or do without: --preset mini uses small weights that come with this repository"
    )


def find_vae(directory: str | Path) -> Path | None:
    """A picture autoencoder in `directory`: the diffusers folder `vae/` or `sd-vae-ft-mse/`, or one file `vae*`."""
    directory = Path(directory)
    folders = [directory / name for name in ("vae", "sd-vae-ft-mse") if (directory / name / "config.json").is_file()]
    files = sorted(path for path in directory.glob("vae*") if path.suffix in VAE_SUFFIXES)
    return next(iter(folders + files), None)


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
    assign_tensors(vae, {_today(name): tensor for name, tensor in tensors.items()}, path)
    return vae


def _today(name: str) -> str:
    for old, new in OLD_VAE_NAMES.items():
        name = name.replace(old, new)
    return name
