"""Draw the example references (`ref/`) and poses (`standard_poses/`) that the repository ships.

python scripts/make_examples.py [--ref_dir ref] [--pose_dir standard_poses]

The people live in a world of their own, whose seed no training run uses.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from PIL import Image

from IPG.pictures import write_picture
from IPG.poses.skeleton import draw_skeleton, to_pixels, write_keypoints, write_pose_picture
from NFC.datasets.synthetic import View, World
from NFC.datasets.synthetic.pose import draw_pose
from NFC.datasets.synthetic.world import HEIGHT, WIDTH
from NFC.errors import run_command

SEED = 2000
VISIBLE_PIDS = (1, 4, 9, 12, 13)
INFRARED_PIDS = (3, 6, 7, 10, 15)
POSE_SEEDS = (9, 2, 3, 4, 5, 14, 7, 8)  # one for each of eight directions, starting in front


def write_references(folder: Path, world: World) -> None:
    for number, pid in enumerate(VISIBLE_PIDS, 1):
        write_picture(folder / f"visible_{number}.png", Image.fromarray(world.shoot(View(pid, number, 0)).picture))
    for number, pid in enumerate(INFRARED_PIDS, 1):
        shot = world.shoot(View(pid, 10 + number, 0, infrared=True))
        write_picture(folder / f"infrared_{number}.png", Image.fromarray(shot.picture).convert("L"))


def write_poses(folder: Path, world: World) -> None:
    poses = {}
    for number, seed in enumerate(POSE_SEEDS):
        pose = draw_pose(np.random.default_rng(seed), yaw=number * np.pi / 4)
        keypoints = world.shoot(View(1, 1, 0), pose=pose, centred=True).keypoints
        name = f"pose{number + 1}"
        poses[name] = keypoints / [WIDTH, HEIGHT, 1]
        write_pose_picture(
            folder / f"{name}.png", draw_skeleton(to_pixels(poses[name], (HEIGHT, WIDTH)), (HEIGHT, WIDTH))
        )
    write_keypoints(folder / "keypoints.json", poses)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ref_dir", type=Path, default=Path("ref"))
    parser.add_argument("--pose_dir", type=Path, default=Path("standard_poses"))
    args = parser.parse_args()
    for folder in (args.ref_dir, args.pose_dir):
        folder.mkdir(parents=True, exist_ok=True)
    world = World(SEED)
    write_references(args.ref_dir, world)
    write_poses(args.pose_dir, world)


if __name__ == "__main__":
    run_command(main)
