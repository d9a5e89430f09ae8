"""Every network of the registry, small: as its config in configs/train/reid trains it, and its variants."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from NFC.networks import NETWORKS
from NFC.networks.reid_network import ReIDNetwork
from NFC.training.data import TrainingSet
from NFC.training.job import ReIDTrainConfig
from NFC.training.network import NetworkConfig, build_network
from pose2id.config import load_config

CONFIGS = Path(__file__).resolve().parents[3] / "configs/train/reid"
PROGRAMS = {"file"}  # of `NETWORKS`: they cannot be trained
CLASSES, CAMERAS = 3, 4
RANDOM = ("sie_embed", "cv_embed", "cls_token", "pos_embed")

# A name of the configs, with what is changed in its `network` section.
VARIANTS = {
    **{name: (name, ()) for name in sorted(NETWORKS.keys() - PROGRAMS)},
    "timm": ("timm", ()),
    "transreid, cameras": ("transreid", ("camera_embedding=true",)),
    "transreid, no jigsaw": ("transreid", ("sizes.jigsaw=false",)),
    "clipreid, cameras": ("clipreid", ("camera_embedding=true",)),
    "clipreid, resnet": ("clipreid", ("sizes.encoder=resnet", "sizes.depths=[1,1,1,1]", "sizes.channels=16")),
    "alignedreid, mutual": ("alignedreid", ("mutual=true",)),
    "dsr, sfr": ("dsr", ("sizes.dialect=sfr", "sizes.windows=[1,2,0]")),
    "sap, stripes": ("sap", ("sizes.teacher=stripes", "sizes.mutual_absorption=false")),
    "pabp, mean": ("pabp", ("sizes.dialect=mean",)),
    "pabp, drawn": ("pabp", ("sizes.dialect=drawn",)),
    "pabp, uniform": ("pabp", ("sizes.dialect=uniform",)),
    "spreid, own classifiers": ("spreid", ("sizes.own_classifiers=true",)),
    "rbnet, not masked": ("rbnet", ("sizes.masked=false",)),
    "rbnet, drawn": ("rbnet", ("sizes.drawn=true",)),
    "foreground, two regions": ("foreground", ("sizes.pooling=foreground_and_background",)),
    "kpr, cameras": ("kpr", ("camera_embedding=true",)),
    "kpr, solider": ("kpr", ("sizes.backbone=solider", "sizes.window=7")),
    "kpr, solider without control": ("kpr", ("sizes.backbone=solider", "sizes.window=7", "sizes.semantic=false")),
}


def config_of(name: str, *overrides: str) -> ReIDTrainConfig:
    return load_config(ReIDTrainConfig, CONFIGS / f"{name}.yaml", overrides)


def network_config(variant: str) -> NetworkConfig:
    name, changes = VARIANTS[variant]
    return config_of(name, *(f"network.{change}" for change in changes)).network


def small_network(variant: str, start: str | None = None, seed: int = 3) -> ReIDNetwork:
    """With random numbers also in the tables (`RANDOM`) that begin with zeros."""
    labels, camids = np.arange(CLASSES), np.arange(CLASSES) + CAMERAS - CLASSES
    pictures = TrainingSet(np.zeros((CLASSES, 1, 1, 3), np.uint8), labels, camids, frozenset({1}))
    network = build_network(replace(network_config(variant), start=start), CLASSES, pictures, seed)
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith(RANDOM):
                parameter.normal_(std=0.1, generator=generator)
    return network


def pictures(count: int) -> list[Image.Image]:
    noise = np.random.default_rng(0).integers(0, 256, (count, 12, 6, 3), dtype=np.uint8)
    return [Image.fromarray(pixels).resize((64, 128), Image.Resampling.BICUBIC) for pixels in noise]
