"""Train the small ViTPose of the mini preset on groups of synthetic pedestrians.

python scripts/train_pose.py [key=value ...]

A run that was stopped goes on when the same command is run again. Ends with its accuracy on people of a world that
training never saw, also written to accuracy.json.
"""

import argparse
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

from IPG.poses.accuracy import accuracy_on_world
from IPG.poses.estimate import ViTPose, save_estimator
from IPG.training.pose_estimator import EstimatorSizes, HeatmapLoss, PoseSampler, build_vitpose
from NFC.datasets.synthetic.groups import read_groups
from pose2id.config import load_config
from pose2id.errors import run_command
from pose2id.files import write_text
from pose2id.loop.loop import Loop
from pose2id.loop.settings import LoopConfig


@dataclass
class TrainPoseConfig:
    groups: str = "runs/groups"
    sizes: EstimatorSizes = field(default_factory=EstimatorSizes)
    loop: LoopConfig = field(default_factory=LoopConfig)
    held_out_seed: int = 3000  # the world of the accuracy; training used world 0
    held_out_people: int = 500


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="configs/poses/train_mini.yaml")
    parser.add_argument("overrides", nargs="*", help="key=value")
    args = parser.parse_intermixed_args()
    config = load_config(TrainPoseConfig, args.config, args.overrides)
    torch.manual_seed(config.loop.seed)
    network, processor = build_vitpose(config.sizes)
    sizes = config.sizes
    cells = tuple(side // sizes.patch * sizes.upsampling for side in (sizes.height, sizes.width))
    sampler = PoseSampler(read_groups(Path(config.groups)), processor, cells, config.loop.batch_size)

    def export(path: Path) -> None:
        save_estimator(network, processor, path / "pose_estimator")

    loop = Loop(HeatmapLoss(network.train()), sampler, export, config.loop)
    loop.run()
    if loop.accelerator.is_main_process:
        trained = ViTPose(loop.path / "pose_estimator", loop.accelerator.device)
        scores = accuracy_on_world(trained, config.held_out_seed, config.held_out_people)
        write_text(loop.path / "accuracy.json", json.dumps(scores, indent=1) + "\n")
        for name, shares in scores.items():
            print(f"{name}:", ", ".join(f"{metric} {share:.1%}" for metric, share in shares.items()))


if __name__ == "__main__":
    run_command(main)
