"""Train the small ViTPose of the mini preset on groups of synthetic pedestrians.

pose2id poses train [key=value ...]

A run that was stopped goes on when the same command is run again. Ends with its accuracy on people of a world that
training never saw, also written to accuracy.json.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from NFC.datasets.synthetic.groups import read_groups
from pose2id.files import replacing_in, write_text
from pose2id.loop.loop import Loop
from pose2id.loop.settings import LoopConfig
from pose2id.resources import CONFIGS
from pose2id.settings.flags import parse_command
from pose2id.settings.ranges import COUNT, SEED, check_ranges

from ..poses.accuracy import accuracy_on_world
from ..poses.estimate import ViTPose, save_estimator
from ..training.pose_estimator import EstimatorSizes, HeatmapLoss, PoseSampler, build_vitpose


@dataclass
class TrainPoseConfig:
    groups: str = "runs/groups"
    sizes: EstimatorSizes = field(default_factory=EstimatorSizes)
    loop: LoopConfig = field(default_factory=LoopConfig)
    held_out_seed: int = 3000  # the world of the accuracy; training used world 0
    held_out_people: int = 500

    def __post_init__(self) -> None:
        check_ranges(self, {"held_out_seed": SEED, "held_out_people": COUNT})


def main(arguments: Sequence[str]) -> None:
    config = parse_command(TrainPoseConfig, __doc__, arguments, CONFIGS / "poses" / "train_mini.yaml")
    if config is None:
        return
    torch.manual_seed(config.loop.seed)
    network, processor = build_vitpose(config.sizes)
    sizes = config.sizes
    cells = tuple(side // sizes.patch * sizes.upsampling for side in (sizes.height, sizes.width))
    sampler = PoseSampler(read_groups(Path(config.groups)), processor, cells, config.loop.batch_size)

    def export(path: Path) -> None:
        with replacing_in(path / "pose_estimator") as hidden:
            save_estimator(network, processor, hidden)

    loop = Loop(HeatmapLoss(network.train()), sampler, export, config.loop)
    loop.run()
    if loop.accelerator.is_main_process:
        trained = ViTPose(loop.path / "pose_estimator", loop.accelerator.device)
        scores = accuracy_on_world(trained, config.held_out_seed, config.held_out_people)
        write_text(loop.path / "accuracy.json", json.dumps(scores, indent=1) + "\n")
        for name, shares in scores.items():
            print(f"{name}:", ", ".join(f"{metric} {share:.1%}" for metric, share in shares.items()))
