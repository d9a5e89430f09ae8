"""ReID networks by name: `build_extractor("transreid")`."""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType

import torch

from pose2id.errors import UserError

from .base import Extractor, Preprocessing
from .files import build_from_file, read_header
from .foreign import own
from .reid_network import ReIDNetwork

__all__ = ["BACKBONES", "NETWORKS", "Extractor", "Preprocessing", "assemble", "build_extractor", "trainable"]

# Name -> file of this folder with `build(weights, preset) -> Extractor` and `NETWORK`, the `ReIDNetwork` to train.
NETWORKS = {
    "transreid": "transreid",
    "clipreid": "clipreid",
    "pmt": "pmt",
    "saai": "saai",
    "bpbreid": "bpbreid",
    "kpr": "kpr",
    "baseline": "baseline",
    "mos": "mos",
    "pcb": "pcb",
    "pcb_rpp": "pcb_rpp",
    "icnn": "icnn",
    "scpnet": "scpnet",
    "siamese_lstm": "siamese_lstm",
    "gated_siamese": "gated_siamese",
    "idla": "idla",
    "personnet": "personnet",
    "alignedreid": "alignedreid",
    "alignedreid_v1": "alignedreid_v1",
    "dsr": "dsr",
    "sap": "sap",
    "pabp": "pabp",
    "spreid": "spreid",
    "rbnet": "rbnet",
    "pie": "pie",
    "spindlenet": "spindlenet",
    "pdc": "pdc",
    "glad": "glad",
    "foreground": "foreground",
    "file": "foreign.exported",
}
# LIBRARY of `LIBRARY:NAME` and `LIBRARY-random:NAME` -> file with `build(name, weights, random) -> Extractor`.
BACKBONES = {
    "timm": "foreign.timm_backbone",
    "transformers": "foreign.transformers_backbone",
}
RANDOM = "-random"


def build_extractor(
    name: str,
    weights: str | Path | None = None,
    preset: str = "sd15",
    device: str | torch.device | None = None,
    picture_size: Sequence[int] | None = None,
) -> Extractor:
    """The extractor `name` in evaluation mode, its variant recognised from the file of weights.

    name: one of `NETWORKS`; an image backbone without ReID training, `timm:NAME` or `transformers:NAME`, with random
    weights `timm-random:NAME`; or a network of your own, `package.module:function` or `file.py:function`. weights: a
    file; None takes the preset's own from `pretrained/`. device: None takes a GPU where there is one. picture_size: the
    height and width of what one of `NETWORKS` is shown, where its file does not say and they are not the usual ones. An
    unknown name, a missing or unfitting file, or a size that does not fit raises `UserError`.
    """
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)  # random weights, where somebody wants them, are always the same
        extractor = assemble(name, weights, preset, picture_size)
    return extractor.eval().requires_grad_(False).to(device)


def assemble(
    name: str, weights: str | Path | None = None, preset: str = "sd15", picture_size: Sequence[int] | None = None
) -> Extractor:
    """As `build_extractor`, but on the CPU, ready to train, and random weights are those of the global generator."""
    kind, _, argument = name.partition(":")
    library = kind.removesuffix(RANDOM)
    if picture_size is not None:
        network = _file(NETWORKS[name]).NETWORK if name in NETWORKS else None
        if network is None:
            raise UserError(f"picture_size is for networks of the zoo, not for '{name}'; leave it out")
        return build_from_file(network, weights, preset, picture_size)
    if name in NETWORKS:
        return _file(NETWORKS[name]).build(weights, preset)
    if library in BACKBONES and argument:
        extractor = _file(BACKBONES[library]).build(argument, weights, kind.endswith(RANDOM))
    elif argument:
        extractor = own.build(name, weights)
    else:
        choices = [*NETWORKS, *(f"{library}:NAME" for library in BACKBONES), "module:function", "file.py:function"]
        raise UserError(f"unknown extractor '{name}'; choose one of: {', '.join(choices)}")
    if weights is not None and (header := read_header(weights)):
        extractor.preprocessing = header.preprocessing
    return extractor


def trainable(name: str) -> type[ReIDNetwork]:
    """The class of `name`, one of `NETWORKS`, from which a network to train is built; `UserError` for a program."""
    network = _file(NETWORKS[name]).NETWORK
    if network is None:
        raise UserError(f"network '{name}' is a program and cannot be trained; train a network of the zoo")
    return network


def _file(name: str) -> ModuleType:
    """A file of this folder, which is imported only when somebody asks for its network."""
    return import_module(f".{name}", __package__)
