"""Draw the example references (`ref/`) that the repository ships.

python scripts/make_examples.py [--ref_dir ref]

The people live in a world of their own, whose seed no training run uses.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from PIL import Image

from NFC.datasets.synthetic import View, World
from pose2id.errors import run_command
from pose2id.pictures import write_picture

SEED = 2000
VISIBLE_PIDS = (1, 4, 9, 12, 13)
INFRARED_PIDS = (3, 6, 7, 10, 15)


def write_references(folder: Path, world: World) -> None:
    for number, pid in enumerate(VISIBLE_PIDS, 1):
        write_picture(folder / f"visible_{number}.png", Image.fromarray(world.shoot(View(pid, number, 0)).picture))
    for number, pid in enumerate(INFRARED_PIDS, 1):
        shot = world.shoot(View(pid, 10 + number, 0, infrared=True))
        write_picture(folder / f"infrared_{number}.png", Image.fromarray(shot.picture).convert("L"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ref_dir", type=Path, default=Path("ref"))
    args = parser.parse_args()
    args.ref_dir.mkdir(parents=True, exist_ok=True)
    write_references(args.ref_dir, World(SEED))


if __name__ == "__main__":
    run_command(main)
