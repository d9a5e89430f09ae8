"""ReID networks by name: `build_extractor("transreid")`."""

from collections.abc import Callable
from pathlib import Path

import torch

from ..config import load_config, preset_file
from ..errors import UserError
from .base import Extractor, default_directory, find_weights, load_tolerant
from .transreid import TransReID, TransReIDSizes

__all__ = ["EXTRACTORS", "Extractor", "build_extractor"]


def _transreid(weights: str | Path | None, preset: str) -> Extractor:
    sizes = load_config(TransReIDSizes, preset_file(preset), section="reid")
    network = TransReID.from_sizes(sizes)
    path = weights or find_weights(default_directory(preset), "transformer_20")
    load_tolerant(network, path, optional=network.unused_at_test())
    return Extractor(network, sizes.feature_dim, sizes.height, sizes.width)


EXTRACTORS: dict[str, Callable[[str | Path | None, str], Extractor]] = {
    "transreid": _transreid,
}


def build_extractor(
    name: str,
    weights: str | Path | None = None,
    preset: str = "sd15",
    device: str | torch.device | None = None,
) -> Extractor:
    """The extractor `name` in evaluation mode.

    weights: a `.safetensors` or `.pth` file; None takes the preset's own from `pretrained/`. device: None takes a
    GPU where there is one. An unknown name or a missing or unfitting file raises `UserError`.
    """
    if name not in EXTRACTORS:
        raise UserError(f"unknown extractor '{name}'; choose one of: {', '.join(sorted(EXTRACTORS))}")
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    return EXTRACTORS[name](weights, preset).eval().requires_grad_(False).to(device)
