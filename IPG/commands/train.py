"""Train the generator (Pose2ID, arXiv 2503.00938, Eq. 6).

pose2id train                                  # the small networks, synthetic people
accelerate launch -m pose2id train --config configs/train/ipg.yaml data.dataset=market1501 data.dataset_dir=DIR
pose2id train --config configs/train/student.yaml       # the small networks again, for four steps without guidance

A data set needs its poses first: `pose2id poses prepare`. Running a command again goes on from the last checkpoint.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import nn

from pose2id.config import to_yaml
from pose2id.devices import pick_device, this_process
from pose2id.errors import UserError
from pose2id.files import write_text
from pose2id.loop.loop import Loop
from pose2id.loop.settings import LoopConfig
from pose2id.loop.state import Settings, named_settings, read_state
from pose2id.presets import Preset, load_preset
from pose2id.processes.locks import locked
from pose2id.resources import CONFIGS
from pose2id.settings.flags import parse_command

from ..job.settings import DTYPES
from ..models import build_scheduler, named_parts
from ..training.data import DataConfig, Material, build_material, hold_out
from ..training.distillation import Distillation, DistillationConfig
from ..training.encoded import encode_material
from ..training.networks import (
    Networks,
    NetworksConfig,
    build_networks,
    export_frozen,
    export_networks,
    frozen_files,
    load_teacher,
)
from ..training.objective import IPGObjective, ObjectiveConfig
from ..training.pairs import Pairs
from ..training.validation import Validation, ValidationConfig
from ..weights.checkpoints import identity_network, load_vae
from ..weights.files import MadeFor, write_made_for


@dataclass
class TrainConfig:
    preset: str = "sd15"
    data: DataConfig = field(default_factory=DataConfig)
    networks: NetworksConfig = field(default_factory=NetworksConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    distillation: DistillationConfig | None = None  # in place of the objective
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    loop: LoopConfig = field(default_factory=LoopConfig)

    def __post_init__(self) -> None:
        if self.loop.validate_every and not self.validation.held_out:
            raise UserError("loop.validate_every needs validation.held_out above 0: nobody is kept out of training")
        if self.distillation and self.networks.trainable != ["denoising_unet"]:
            raise UserError("distillation changes the denoising UNet alone: networks.trainable=[denoising_unet]")


def train(config: TrainConfig) -> None:
    preset, main_process = load_preset(config.preset), this_process().is_main_process
    vae_file, reid_file = frozen_files(config.preset, config.networks)
    learnt = held_out = build_material(config.data)
    if config.validation.held_out:
        learnt, held_out = hold_out(learnt, config.validation.held_out)
    device = pick_device()
    vae = load_vae(vae_file, preset).eval().requires_grad_(False).to(device)
    extractor = identity_network(reid_file, config.preset, device)
    torch.manual_seed(config.loop.seed)
    networks = build_networks(preset, config.networks)

    if main_process:
        print(learnt.summary)
    encoded = encode_material(learnt, vae, extractor, preset, Path(config.data.cache))
    pairs = Pairs(learnt, encoded, preset, config.data.targets, config.data.references)
    objective = build_objective(config, preset, networks)
    validation = None
    if config.loop.validate_every:
        validation = Validation(held_out, networks, vae, extractor, preset, config.validation)

    def export(folder: Path) -> None:
        export_networks(networks, preset, folder, DTYPES[config.networks.export_dtype])
        if config.distillation:
            write_made_for(folder, MadeFor(config.distillation.steps))

    loop = Loop(objective, pairs, export, config.loop, validation, settings_that_stay(config, learnt))
    with locked(loop.path, here=main_process):
        read_state(loop.path, loop.settings)  # refuses what does not fit, before anything is written
        if main_process:
            write_text(loop.path / "config.yaml", to_yaml(config))
            export_frozen(vae_file, reid_file, loop.path)
        loop.run()


def build_objective(config: TrainConfig, preset: Preset, networks: Networks) -> nn.Module:
    """What is learnt: Eq. 6, or the steps of a teacher, the networks that the run starts from."""
    parts, scheduler = named_parts(networks), build_scheduler(preset)
    if config.distillation is None:
        return IPGObjective(**parts, scheduler=scheduler, config=config.objective)
    teacher = load_teacher(preset, config.networks)
    return Distillation(**parts, teacher=teacher, scheduler=scheduler, config=config.distillation.for_preset(preset))


def settings_that_stay(config: TrainConfig, material: Material) -> Settings:
    """Those beside the loop's that have to be the same for a run to be continued."""
    networks = {name: getattr(config.networks, name) for name in ("trainable", "lora_rank")}
    data = {name: getattr(config.data, name) for name in ("targets", "references", "confidence")}
    student = config.distillation
    name, objective = ("distillation", student) if student else ("objective", config.objective)
    return (
        named_settings(name, asdict(objective))
        | named_settings("networks", networks)
        | named_settings("data", data)
        | {"number of pictures": len(material), "number of people": len(material.people)}
    )


def main(arguments: Sequence[str]) -> None:
    config = parse_command(TrainConfig, __doc__, arguments, CONFIGS / "train" / "ipg_mini.yaml")
    if config is not None:
        train(config)
