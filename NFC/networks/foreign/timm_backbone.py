"""Any image network of timm as it is, without ReID training (paper, Table 5): `timm:NAME` and `timm-random:NAME`."""

from difflib import get_close_matches
from pathlib import Path

import timm
from timm.data import resolve_model_data_config
from torch import nn

from pose2id.errors import UserError
from pose2id.weights import load_tensors, read_tensors, strip_prefix

from ..base import Extractor, Preprocessing, measured_extractor


def build(name: str, weights: str | Path | None, random: bool) -> Extractor:
    """timm's network `name` without its classifier, with the file `weights`, timm's pretrained ones, or random ones.

    The picture is resized to the network's own size, whole; filter, mean and standard deviation are the network's own.
    """
    if not timm.is_model(name):
        close = ", ".join(get_close_matches(name, timm.list_models(pretrained=True))) or "none is close"
        raise UserError(f"timm has no network '{name}'; close names: {close}")
    pretrained = weights is None and not random
    try:
        network = timm.create_model(name, pretrained=pretrained, num_classes=0)
    except (OSError, RuntimeError, ValueError) as error:
        raise UserError(
            f"timm:{name}: no pretrained weights ({' '.join(str(error).split())[:120]}); connect to the network once, "
            f"give --weights FILE, or take random weights with timm-random:{name}"
        ) from error
    if weights is not None:
        load_tensors(network, strip_prefix(read_tensors(weights)), weights, classifier_names(network))
    config = resolve_model_data_config(network)
    _, height, width = config["input_size"]
    preprocessing = Preprocessing(height, width, config["interpolation"], config["mean"], config["std"])
    return measured_extractor(network, preprocessing)


def classifier_names(network: nn.Module) -> tuple[str, ...]:
    """Prefixes of the tensors of the classifier, which was left out."""
    names = network.pretrained_cfg.get("classifier") or ()
    return tuple(f"{name}." for name in ([names] if isinstance(names, str) else names))
