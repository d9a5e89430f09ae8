"""ReID networks by name: `build_extractor("transreid")`."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import torch

from pose2id.errors import UserError

from .base import Extractor, Preprocessing
from .foreign import own

__all__ = ["BACKBONES", "NETWORKS", "Extractor", "Preprocessing", "build_extractor"]

# Name -> file of this folder with `build(weights, preset) -> Extractor`.
NETWORKS = {
    "transreid": "transreid",
    "clipreid": "clipreid",
    "pmt": "pmt",
    "saai": "saai",
    "bpbreid": "bpbreid",
    "kpr": "kpr",
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
) -> Extractor:
    """The extractor `name` in evaluation mode, its variant recognised from the file of weights.

    name: one of `NETWORKS`; an image backbone without ReID training, `timm:NAME` or `transformers:NAME`, with random
    weights `timm-random:NAME`; or a network of your own, `package.module:function` or `file.py:function`. weights: a
    file; None takes the preset's own from `pretrained/`. device: None takes a GPU where there is one. An unknown name
    or a missing or unfitting file raises `UserError`.
    """
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)  # random weights, where somebody wants them, are always the same
        extractor = _build(name, weights, preset)
    return extractor.eval().requires_grad_(False).to(device)


def _build(name: str, weights: str | Path | None, preset: str) -> Extractor:
    kind, _, argument = name.partition(":")
    library = kind.removesuffix(RANDOM)
    if name in NETWORKS:
        return _builder(NETWORKS[name])(weights, preset)
    if library in BACKBONES and argument:
        return _builder(BACKBONES[library])(argument, weights, kind.endswith(RANDOM))
    if argument:
        return own.build(name, weights)
    choices = [*NETWORKS, *(f"{library}:NAME" for library in BACKBONES), "module:function", "file.py:function"]
    raise UserError(f"unknown extractor '{name}'; choose one of: {', '.join(choices)}")


def _builder(file: str) -> Callable[..., Extractor]:
    """`build` of a file of this folder, which is imported only when somebody asks for its network."""
    return import_module(f".{file}", __package__).build
