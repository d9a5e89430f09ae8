"""Poses that stand for all of a data set: a folder like standard_poses/.

python scripts/prepare_poses.py --preset mini --dataset_dir data/Market-1501 --splits train
python scripts/select_poses.py --preset mini --dataset_dir data/Market-1501 --count 8 --out_dir outputs/poses

Each identity's representative pose is that of the picture nearest to the mean feature (Eq. 7-8 of the paper);
k-medoids choose among these. docs/poses.md tells more.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from IPG.poses.select import SelectConfig, select_poses, write_poses
from pose2id.config import load_config
from pose2id.errors import run_command


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, argument_default=argparse.SUPPRESS
    )
    parser.add_argument("--config", default=ROOT / "configs/poses/select.yaml", help="YAML file (%(default)s)")
    parser.add_argument("--preset", help="of the extractor: sd15 or mini (sd15)")
    parser.add_argument("--dataset", help="layout of dataset_dir: market1501, sysu_mm01, ... (market1501)")
    parser.add_argument("--dataset_dir", help="a data set whose poses are prepared (data/Market-1501)")
    parser.add_argument("--split", help="train, query or gallery (train)")
    parser.add_argument("--pose_dir", help="what prepare_poses.py wrote (<dataset_dir>_poses)")
    parser.add_argument("--extractor", help="ReID network of the features (transreid)")
    parser.add_argument("--weights", help="its weights (the preset's own)")
    parser.add_argument("--count", type=int, help="how many poses (8)")
    parser.add_argument("--confidence", type=float, help="all joints below the head are at least this sure (0.3)")
    parser.add_argument("--height", type=int, help="of pose pictures (128)")
    parser.add_argument("--width", type=int, help="of pose pictures (64)")
    parser.add_argument("--batch_size", type=int, help="pictures at a time (64)")
    parser.add_argument("--device", help="cpu, cuda, cuda:1, ... (cuda where there is one)")
    parser.add_argument("--out_dir", help="where pose1.png ... and keypoints.json go (outputs/poses)")
    parser.add_argument("overrides", nargs="*", default=[], metavar="key=value", help="settings to change")
    return parser.parse_intermixed_args(arguments)


def main() -> None:
    flags = vars(parse_arguments(sys.argv[1:]))
    path, overrides = flags.pop("config"), flags.pop("overrides")
    config = replace(load_config(SelectConfig, path, overrides), **flags)
    poses = select_poses(config)
    write_poses(poses, config)
    for number, pose in enumerate(poses, start=1):
        print(f"pose{number}: {pose.path}")


if __name__ == "__main__":
    run_command(main)
