"""The pose of every picture of a data set: keypoints, pose pictures, and which pictures are fit to learn from.

python scripts/prepare_poses.py --preset mini --dataset market1501 --dataset_dir data/Market-1501
accelerate launch scripts/prepare_poses.py --picture_dir pictures clean.min_sharpness=0.05
python scripts/prepare_poses.py --estimator json --weights openpose_output --picture_dir pictures

Running a command again does what is lacking, and cleans again with the thresholds given. docs/poses.md tells more.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from omegaconf import OmegaConf

from IPG.poses.prepare import prepare
from IPG.poses.settings import PrepareConfig, resolve
from pose2id.config import load_config
from pose2id.devices import this_process
from pose2id.errors import run_command


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, argument_default=argparse.SUPPRESS
    )
    parser.add_argument("--config", default=ROOT / "configs/poses/prepare.yaml", help="YAML file (%(default)s)")
    parser.add_argument("--dry_run", action="store_true", default=False, help="print the resolved config and stop")
    parser.add_argument(
        "--preset", help="sd15 (full ViTPose, to be downloaded) or mini (shipped, for synthetic people)"
    )
    parser.add_argument("--estimator", help="vitpose, openpose, or json: keypoints of another program (vitpose)")
    parser.add_argument("--weights", help="folder of the estimator's weights; for json the keypoints")
    parser.add_argument("--dataset", help="layout of dataset_dir: market1501, sysu_mm01, ... (market1501)")
    parser.add_argument("--dataset_dir", help="a data set")
    parser.add_argument("--splits", nargs="+", help="of the data set (train query gallery)")
    parser.add_argument("--picture_dir", help="or any folder of pictures")
    parser.add_argument("--out_dir", help="where everything goes (<data set or folder>_poses)")
    parser.add_argument("--draw", action=argparse.BooleanOptionalAction, help="pose pictures (yes)")
    parser.add_argument("--height", type=int, help="of pose pictures (128)")
    parser.add_argument("--width", type=int, help="of pose pictures (64)")
    parser.add_argument("--batch_size", type=int, help="pictures at a time (64)")
    parser.add_argument("--device", help="cpu, cuda, cuda:1, ... (cuda where there is one)")
    parser.add_argument("overrides", nargs="*", default=[], metavar="key=value", help="settings to change")
    return parser.parse_intermixed_args(arguments)


def main() -> int:
    flags = vars(parse_arguments(sys.argv[1:]))
    path, overrides, dry_run = (flags.pop(name) for name in ("config", "overrides", "dry_run"))
    config = resolve(replace(load_config(PrepareConfig, path, overrides), **flags))
    if dry_run:
        print(OmegaConf.to_yaml(OmegaConf.structured(config)), end="")
        return 0
    counts, failures = prepare(config)
    if this_process().is_main_process:
        print(", ".join(f"{name}: {count}" for name, count in counts.items()), f"-> {config.out_dir}")
        if failures:
            print(f"{len(failures)} pictures could not be read:", *failures, sep="\n  ", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    run_command(main)
