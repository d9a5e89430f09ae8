"""What the settings that trade quality for speed cost, on the shipped weights and examples.

pose2id bench quality [--references 3] [--poses 4]

PSNR of the pictures against those of 50 DDIM steps, which stand for the exact solution, and the time a picture takes,
the better of two runs.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.table import Table

from pose2id.pictures import list_pictures, read_picture
from pose2id.resources import here_or_shipped
from pose2id.settings.flags import parse_command

from .. import IPGPipeline, Sampling
from ..poses import read_pose_picture

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


@dataclass
class BenchConfig:
    references: int = 3
    poses: int = 4


def main(arguments: Sequence[str]) -> None:
    args = parse_command(BenchConfig, __doc__, arguments)
    if args is None:
        return
    pipe = IPGPipeline.from_pretrained(preset="mini")
    references = [read_picture(path) for path in list_pictures(here_or_shipped("ref"))[0][-args.references :]]
    poses = [read_pose_picture(path) for path in list_pictures(here_or_shipped("standard_poses"))[0][: args.poses]]

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
