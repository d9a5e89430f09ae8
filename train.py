"""Train the generator (Pose2ID, arXiv 2503.00938, Eq. 6).

python train.py                                                                  # the small networks, synthetic people
accelerate launch train.py --config configs/train/ipg.yaml data.dataset=market1501 data.dataset_dir=data/Market-1501

A data set needs its poses first: scripts/prepare_poses.py. Running a command again goes on from the last checkpoint.
"""

import argparse
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from omegaconf import OmegaConf

from IPG.checkpoints import load_vae
from IPG.job.settings import DTYPES
from IPG.models import build_scheduler
from IPG.training.data import DataConfig, Material, build_material, hold_out
from IPG.training.encoded import encode_material
from IPG.training.networks import NetworksConfig, build_networks, export_frozen, export_networks, frozen_files
from IPG.training.objective import IPGObjective, ObjectiveConfig
from IPG.training.pairs import Pairs
from IPG.training.validation import Validation, ValidationConfig
from NFC.networks import build_extractor
from pose2id.config import load_config
from pose2id.devices import pick_device, this_process
from pose2id.errors import UserError, run_command
from pose2id.files import write_text
from pose2id.loop.loop import Loop
from pose2id.loop.settings import LoopConfig
from pose2id.loop.state import Settings, named_settings, read_state
from pose2id.presets import load_preset

DEFAULT_CONFIG = Path(__file__).parent / "configs/train/ipg_mini.yaml"


@dataclass
class TrainConfig:
    preset: str = "sd15"
    data: DataConfig = field(default_factory=DataConfig)
    networks: NetworksConfig = field(default_factory=NetworksConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    loop: LoopConfig = field(default_factory=LoopConfig)

    def __post_init__(self) -> None:
        if self.loop.validate_every and not self.validation.held_out:
            raise UserError("loop.validate_every needs validation.held_out above 0: nobody is kept out of training")


def train(config: TrainConfig) -> None:
    preset, main_process = load_preset(config.preset), this_process().is_main_process
    vae_file, reid_file = frozen_files(config.preset, config.networks)
    learnt = held_out = build_material(config.data)
    if config.validation.held_out:
        learnt, held_out = hold_out(learnt, config.validation.held_out)
    device = pick_device()
    vae = load_vae(vae_file, preset).eval().requires_grad_(False).to(device)
    extractor = build_extractor("transreid", reid_file, config.preset, device)
    torch.manual_seed(config.loop.seed)
    networks = build_networks(preset, config.networks)

    if main_process:
        print(learnt.summary)
    encoded = encode_material(learnt, vae, extractor, preset, Path(config.data.cache))
    pairs = Pairs(learnt, encoded, preset, config.data.targets)
    objective = IPGObjective(*networks.values(), build_scheduler(preset), config.objective)
    validation = None
    if config.loop.validate_every:
        validation = Validation(held_out, networks, vae, extractor, preset, config.validation)

    def export(folder: Path) -> None:
        export_networks(networks, preset, folder, DTYPES[config.networks.export_dtype])

    loop = Loop(objective, pairs, export, config.loop, validation, settings_that_stay(config, learnt))
    read_state(loop.path, loop.settings)  # refuses what cannot be gone on with, before anything is written
    if main_process:
        write_text(loop.path / "config.yaml", OmegaConf.to_yaml(OmegaConf.structured(config)))
        export_frozen(vae_file, reid_file, loop.path)
    loop.run()


def settings_that_stay(config: TrainConfig, material: Material) -> Settings:
    """Those beside the loop's that a run is not gone on with when they differ."""
    networks = {name: getattr(config.networks, name) for name in ("trainable", "lora_rank")}
    data = {"targets": config.data.targets, "confidence": config.data.confidence}
    return (
        named_settings("objective", asdict(config.objective))
        | named_settings("networks", networks)
        | named_settings("data", data)
        | {"number of pictures": len(material), "number of people": len(material.people)}
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default=DEFAULT_CONFIG, help="YAML file (configs/train/ipg_mini.yaml)")
    parser.add_argument("--dry_run", action="store_true", help="print the resolved config and stop")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="settings to change")
    args = parser.parse_intermixed_args()
    config = load_config(TrainConfig, args.config, args.overrides)
    if args.dry_run:
        print(OmegaConf.to_yaml(OmegaConf.structured(config)), end="")
        return
    train(config)


if __name__ == "__main__":
    run_command(main)
