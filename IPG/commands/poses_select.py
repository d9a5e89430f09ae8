"""Poses that stand for all of a data set: a folder like standard_poses/.

pose2id poses prepare --preset mini --dataset_dir data/Market-1501 --splits train
pose2id poses select --preset mini --dataset_dir data/Market-1501 --count 8 --out_dir outputs/poses

Each identity's representative pose is that of the picture nearest to the mean feature (Eq. 7-8 of the paper);
k-medoids choose among these. docs/poses.md tells more.
"""

from collections.abc import Sequence

from pose2id.resources import CONFIGS
from pose2id.settings.flags import parse_command

from ..poses.select import SelectConfig, select_poses, write_poses


def main(arguments: Sequence[str]) -> None:
    config = parse_command(SelectConfig, __doc__, arguments, CONFIGS / "poses" / "select.yaml")
    if config is None:
        return
    poses = select_poses(config)
    write_poses(poses, config)
    for number, pose in enumerate(poses, start=1):
        print(f"pose{number}: {pose.path}")
