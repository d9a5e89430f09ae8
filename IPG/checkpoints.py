"""Weights on disk <-> our modules: read without executing anything, loaded strictly, written atomically."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch
from diffusers import AutoencoderDC, AutoencoderKL
from safetensors.torch import save_file
from torch import Tensor, nn

from NFC.errors import UserError
from NFC.extractors.base import SUFFIXES, find_weights, name_list, read_tensors
from NFC.files import replacing

from .models import VAE, build_vae
from .presets import Preset

__all__ = ["find_vae", "find_weights", "load_module", "load_strict", "load_vae", "read_tensors", "save_safetensors"]

Module = TypeVar("Module", bound=nn.Module)

# Attention of the picture autoencoder: names of older diffusers files -> today's.
OLD_VAE_NAMES = {".query.": ".to_q.", ".key.": ".to_k.", ".value.": ".to_v.", ".proj_attn.": ".to_out.0."}


def load_strict(module: nn.Module, path: str | Path) -> None:
    """Load all of `module`'s tensors from a file that holds exactly these; they take the module's dtype.

    `UserError` tells how many names are missing, unexpected or of another shape, with the first ten of each.
    """
    _assign(module, read_tensors(path), path)


def load_module(build: Callable[[], Module], path: str | Path) -> Module:
    """`build()` without spending time on its random initialisation, then `load_strict`."""
    with torch.device("meta"):
        module = build()
    load_strict(module, path)
    return module


def _assign(module: nn.Module, tensors: dict[str, Tensor], path: str | Path) -> None:
    wanted = module.state_dict()
    problems = {
        "missing": wanted.keys() - tensors.keys(),
        "unexpected": tensors.keys() - wanted.keys(),
        "mis-shaped": {n for n in wanted.keys() & tensors.keys() if wanted[n].shape != tensors[n].shape},
    }
    if any(problems.values()):
        told = "; ".join(f"{len(names)} {kind} ({name_list(names)})" for kind, names in problems.items() if names)
        raise UserError(f"{path} does not fit {type(module).__name__}: {told}; use the file of this network and preset")
    on_meta = any(tensor.is_meta for tensor in wanted.values())
    module.load_state_dict({name: tensors[name].to(wanted[name].dtype) for name in wanted}, assign=on_meta)


def save_safetensors(module: nn.Module, path: str | Path, dtype: torch.dtype | None = None) -> None:
    """Write `module`'s tensors (floating ones as `dtype`); readers see the old file or the new one, never a part."""
    tensors = {
        name: tensor.detach().to("cpu", dtype if tensor.is_floating_point() else None).contiguous()
        for name, tensor in module.state_dict().items()
    }
    with replacing(path) as partial:
        save_file(tensors, partial)
        partial.chmod(0o644)


def find_vae(directory: str | Path) -> Path | None:
    """A picture autoencoder in `directory`: the diffusers folder `vae/` or `sd-vae-ft-mse/`, or a file `vae.*`."""
    directory = Path(directory)
    folders = [directory / name for name in ("vae", "sd-vae-ft-mse") if (directory / name / "config.json").is_file()]
    files = [path for suffix in SUFFIXES if (path := directory / f"vae{suffix}").is_file()]
    return next(iter(folders + files), None)


def load_vae(path: str | Path, preset: Preset) -> VAE:
    """A diffusers folder (with its own config.json), or one file of the preset's sizes with diffusers' names."""
    path = Path(path)
    if path.is_dir():
        kind = AutoencoderDC if preset.vae.kind == "dc" else AutoencoderKL
        try:
            return kind.from_pretrained(path, local_files_only=True)
        except (OSError, ValueError) as error:
            reason = " ".join(str(error).split("\n")[0].split())
            raise UserError(f"{path} is not a diffusers {kind.__name__} folder: {reason}") from error
    tensors = {_today(name): tensor for name, tensor in read_tensors(path).items()}
    with torch.device("meta"):
        vae = build_vae(preset.vae)
    _assign(vae, tensors, path)
    return vae


def _today(name: str) -> str:
    for old, new in OLD_VAE_NAMES.items():
        name = name.replace(old, new)
    return name
