"""Diffusers folders of a picture autoencoder, read as strictly as our own files: safetensors only, all tensors fit."""

from collections.abc import Mapping, Sequence
from inspect import signature
from pathlib import Path

import torch
from diffusers import AutoencoderTiny

from pose2id.errors import UserError
from pose2id.reading.files import fault_of, one_line
from pose2id.reading.sizes import check_sizes
from pose2id.reading.text import mapping, read_json
from pose2id.weights import load_tensors, read_tensors, strip_prefix

from ..models import VAE

STEM = "diffusion_pytorch_model"
# Attention of the picture autoencoder: names of older diffusers files -> today's.
OLD_NAMES = {".query.": ".to_q.", ".key.": ".to_k.", ".value.": ".to_v.", ".proj_attn.": ".to_out.0."}
FAMILIES = {bool: (bool,), int: (int,), float: (int, float), str: (str,), tuple: (list,), list: (list,)}


def read_vae_folder(folder: Path, kinds: Sequence[type[VAE]], channels: int) -> VAE:
    """The autoencoder that `config.json` describes, with the tensors beside it; `UserError` for whatever does not fit.

    kinds: the classes that fit, the first where the config names none. channels: of the latents. Tensors may have
    diffusers' names, today's or older ones.
    """
    where = f"{folder} is not a diffusers {kinds[0].__name__} folder"
    config = mapping(read_json(folder / "config.json", f"{where}: file"), f"{where}: config.json")
    kind = next((kind for kind in kinds if kind.__name__ == config.get("_class_name")), kinds[0])
    _check_config(config, kind, f"{where}: config.json")
    weights = folder / f"{STEM}.safetensors"
    if fault := fault_of(weights):
        others = sorted(path.name for path in folder.glob(f"{STEM}*") if path != weights)
        hint = f"there is {others[0]}, which `pose2id convert {folder / others[0]}` rewrites" if others else "get it"
        raise UserError(f"{where}: {weights.name} {fault}; {hint}")
    tensors = strip_prefix(read_tensors(weights))
    check_sizes(config, len(tensors), f"{where}: config.json")
    try:
        with torch.device("meta"):
            vae = kind.from_config(config)
    except Exception as error:  # configs that do not go together lead to errors of any kind
        raise UserError(f"{where}: its config.json describes none ({one_line(error)}); get the folder again") from error
    if vae.config.latent_channels != channels:
        told = f"{vae.config.latent_channels} channels, the preset's networks {channels}"
        raise UserError(f"{where}: its latents have {told}; name the one that belongs to them")
    load_tensors(vae, todays_names(tensors), weights)
    return vae.eval()


def todays_names(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """`tensors` of older diffusers files under the names of today."""
    renamed = {}
    for name, tensor in tensors.items():
        for old, new in OLD_NAMES.items():
            name = name.replace(old, new)
        renamed[name] = tensor
    return renamed


def _check_config(config: Mapping[str, object], kind: type[VAE], where: str) -> None:
    """`UserError` for a config of another class, a setting that is unknown, or one of another type."""
    if config.get("_class_name", kind.__name__) != kind.__name__:
        raise UserError(f"{where} is of a {config['_class_name']!r:.50}; the preset has an {kind.__name__}")
    known = signature(kind.__init__).parameters
    for name, value in config.items():
        if name.startswith("_") or (
            kind is AutoencoderTiny and name == "block_out_channels"
        ):  # diffusers adds that one itself
            continue
        if name not in known:
            raise UserError(f"{where}: '{name:.50}' is no setting of {kind.__name__}")
        default = known[name].default
        fitting = FAMILIES.get(type(default))
        if fitting and (not isinstance(value, fitting) or (isinstance(value, bool) and fitting != (bool,))):
            raise UserError(f"{where}: '{name}' is {value!r:.50}, not a {type(default).__name__}")
    if config.get("scaling_factor", 1) <= 0:
        raise UserError(f"{where}: scaling_factor is {config['scaling_factor']}; it must be above 0")
