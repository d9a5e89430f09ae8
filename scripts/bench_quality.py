"""What the settings that trade quality for speed cost, on the shipped weights and examples.

python scripts/bench_quality.py [--references 3] [--poses 4]

PSNR of the pictures against those of 50 DDIM steps, which stand for the exact solution, and the time a picture takes,
the better of two runs.
"""

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from rich.console import Console
from rich.table import Table

from IPG import IPGPipeline, Sampling
from IPG.poses import read_pose_picture
from pose2id.errors import run_command
from pose2id.pictures import list_pictures, read_picture

EXACT = Sampling(50)
SETTINGS = {
    "20 steps (default)": Sampling(20),
    "10 steps": Sampling(10),
    "10 steps, euler": Sampling(10, scheduler="euler"),
    "10 steps, dpm++": Sampling(10, scheduler="dpm++"),
    "10 steps, unipc": Sampling(10, scheduler="unipc"),
    "8 steps, unipc": Sampling(8, scheduler="unipc"),
    "6 steps, unipc": Sampling(6, scheduler="unipc"),
    "20 steps, features of every 2nd": Sampling(20, feature_interval=2),
    "20 steps, features of every 3rd": Sampling(20, feature_interval=3),
    "10 steps, unipc, features of every 2nd": Sampling(10, scheduler="unipc", feature_interval=2),
    "20 steps, guidance in 200..800": Sampling(20, guidance_interval=(200, 800)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--references", type=int, default=3)
    parser.add_argument("--poses", type=int, default=4)
    args = parser.parse_args()
    pipe = IPGPipeline.from_pretrained(preset="mini")
    references = [read_picture(path) for path in list_pictures("ref")[0][-args.references :]]
    poses = [read_pose_picture(path) for path in list_pictures("standard_poses")[0][: args.poses]]

    def draw(sampling: Sampling) -> tuple[np.ndarray, float]:
        seconds = []
        for _ in range(2):
            started = time.perf_counter()
            images = pipe.generate(references, poses, sampling)
            seconds.append(time.perf_counter() - started)
        return np.stack([np.asarray(image, float) for row in images for image in row]), min(seconds)

    exact, _ = draw(EXACT)
    table = Table(title=f"mini, {len(exact)} pictures, against 50 DDIM steps")
    for column in ("setting", "PSNR", "ms a picture"):
        table.add_column(column, justify="left" if column == "setting" else "right")
    for name, sampling in SETTINGS.items():
        pictures, seconds = draw(sampling)
        psnr = 10 * np.log10(255**2 / np.square(pictures - exact).mean())
        table.add_row(name, f"{psnr:.1f} dB", f"{1000 * seconds / len(exact):.0f}")
    Console().print(table)


if __name__ == "__main__":
    run_command(main)
