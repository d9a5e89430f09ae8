"""Train the generator: `accelerate launch train.py --config configs/train/ipg_mini.yaml [key=value ...]`."""

import argparse
from dataclasses import dataclass, field
from pathlib import Path

import torch

from IPG.checkpoints import load_vae, save_safetensors
from IPG.models import build_denoising_unet, build_ifr, build_pose_guider, build_reference_unet, build_scheduler
from IPG.presets import load_preset
from IPG.training.data import PairSampler
from IPG.training.loop import Loop, LoopConfig
from IPG.training.objective import IPGObjective, ObjectiveConfig
from NFC.config import load_config
from NFC.datasets.synthetic.groups import read_groups
from NFC.errors import run_command
from NFC.extractors import build_extractor


@dataclass
class TrainConfig:
    preset: str = "mini"
    groups: str = "runs/groups"
    vae: str = "pretrained/mini/vae"
    reid: str = "pretrained/mini/transformer_20.safetensors"
    cache: str = "runs/cache"
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    loop: LoopConfig = field(default_factory=LoopConfig)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", default="configs/train/ipg_mini.yaml")
    parser.add_argument("overrides", nargs="*", help="key=value")
    args = parser.parse_intermixed_args()
    config = load_config(TrainConfig, args.config, args.overrides)
    sizes = load_preset(config.preset)
    vae = load_vae(config.vae, sizes).eval()
    extractor = build_extractor("transreid", config.reid, config.preset, device="cpu")
    sampler = PairSampler(read_groups(Path(config.groups)), vae, extractor, Path(config.cache), config.loop.batch_size)

    torch.manual_seed(config.loop.seed)
    networks = {
        "IFR": build_ifr(sizes),
        "pose_guider": build_pose_guider(sizes),
        "reference_unet": build_reference_unet(sizes),
        "denoising_unet": build_denoising_unet(sizes),
    }
    objective = IPGObjective(*networks.values(), build_scheduler(sizes), config.objective)

    def export(path: Path) -> None:
        for name, network in networks.items():
            save_safetensors(network, path / f"{name}.safetensors", torch.float16)

    Loop(objective, sampler, export, config.loop).run()


if __name__ == "__main__":
    run_command(main)
