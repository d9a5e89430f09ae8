"""The pose of every picture of a data set: keypoints, pose pictures, and which pictures are fit to learn from.

pose2id poses prepare --preset mini --dataset market1501 --dataset_dir data/Market-1501
accelerate launch -m pose2id poses prepare --picture_dir pictures clean.min_sharpness=0.05
pose2id poses prepare --estimator json --weights openpose_output --picture_dir pictures

Running a command again does what is lacking, and cleans again with the thresholds given. docs/poses.md tells more.
"""

import sys
from collections.abc import Sequence

from pose2id.devices import this_process
from pose2id.resources import CONFIGS
from pose2id.settings.flags import parse_command

from ..poses.prepare import prepare
from ..poses.settings import PrepareConfig, resolve


def main(arguments: Sequence[str]) -> int:
    own = ["draw=false" if word == "--no-draw" else word for word in arguments]
    config = parse_command(PrepareConfig, __doc__, own, CONFIGS / "poses" / "prepare.yaml", resolve=resolve)
    if config is None:
        return 0
    counts, failures = prepare(config)
    if this_process().is_main_process:
        print(", ".join(f"{name}: {count}" for name, count in counts.items()), f"-> {config.out_dir}")
        if failures:
            print(f"{len(failures)} pictures could not be read:", *failures, sep="\n  ", file=sys.stderr)
    return 1 if failures else 0
