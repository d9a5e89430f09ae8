"""Any image network of timm as it is, without ReID training (paper, Table 5): `timm:NAME` and `timm-random:NAME`."""

from difflib import get_close_matches
from pathlib import Path

import timm
import torch
from timm.data import resolve_model_data_config
from torch import nn

from pose2id.errors import UserError
from pose2id.reading.files import one_line
from pose2id.weights import load_tensors, read_tensors, strip_prefix
from pose2id.weights.hub import hub_reachable, in_cache

from ..base import Extractor, Preprocessing, measured_extractor

HUB_FILES = ("model.safetensors", "open_clip_model.safetensors", "pytorch_model.bin", "open_clip_pytorch_model.bin")


def build(name: str, weights: str | Path | None, random: bool) -> Extractor:
    """timm's network `name` without its classifier, with the file `weights`, timm's pretrained ones, or random ones.

    The picture is resized to the network's own size, whole; filter, mean and standard deviation are the network's own.
    """
    if not timm.is_model(name):
        close = ", ".join(get_close_matches(name, timm.list_models(pretrained=True))) or "none is close"
        raise UserError(f"timm has no network '{name}'; close names: {close}")
    pretrained = weights is None and not random
    remedy = f"connect to the network once, give --weights FILE, or take random weights with timm-random:{name}"
    if pretrained and not hub_reachable() and not _is_here(name):
        raise UserError(
            f"timm:{name}: no pretrained weights (the hub cannot be reached, and they are not here); {remedy}"
        )
    try:
        network = timm.create_model(name, pretrained=pretrained, num_classes=0)
    except (OSError, RuntimeError, ValueError) as error:
        raise UserError(f"timm:{name}: no pretrained weights ({one_line(error)}); {remedy}") from error
    if weights is not None:
        load_tensors(network, strip_prefix(read_tensors(weights)), weights, classifier_names(network))
    config = resolve_model_data_config(network)
    _, height, width = config["input_size"]
    preprocessing = Preprocessing(height, width, config["interpolation"], config["mean"], config["std"])
    return measured_extractor(network, preprocessing)


def _is_here(name: str) -> bool:
    """Whether timm's weights of network `name` lie in a cache."""
    config = timm.get_pretrained_cfg(name)
    if config is None:
        return False
    downloaded = Path(torch.hub.get_dir()) / "checkpoints" / Path(config.url or "none").name
    return downloaded.is_file() or bool(config.hf_hub_id and in_cache(config.hf_hub_id, *HUB_FILES))


def classifier_names(network: nn.Module) -> tuple[str, ...]:
    """Prefixes of the tensors of the classifier, which was left out."""
    names = network.pretrained_cfg.get("classifier") or ()
    return tuple(f"{name}." for name in ([names] if isinstance(names, str) else names))
