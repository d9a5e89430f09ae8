"""Train the small VAE of the mini preset on groups of synthetic pedestrians.

pose2id train-vae --groups runs/groups [--preset mini] [key=value ...]
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from NFC.datasets.synthetic.groups import read_groups
from pose2id.loop.loop import Loop
from pose2id.loop.settings import LoopConfig
from pose2id.presets import load_preset
from pose2id.resources import CONFIGS
from pose2id.settings.flags import parse_command

from ..models import build_vae
from ..training.reconstruction import Crops, Reconstruction, export


@dataclass
class TrainVAEConfig(LoopConfig):
    groups: str = "runs/groups"
    preset: str = "mini"


def main(arguments: Sequence[str]) -> None:
    config = parse_command(TrainVAEConfig, __doc__, arguments, CONFIGS / "train" / "vae.yaml")
    if config is None:
        return
    groups = read_groups(Path(config.groups))
    torch.manual_seed(config.seed)
    vae = build_vae(load_preset(config.preset).vae)
    Loop(Reconstruction(vae), Crops(groups), lambda path: export(vae, groups, path), config).run()
