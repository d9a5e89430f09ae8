"""Quality and speed of a parser: overlap with the true body parts of people of three unseen worlds, pictures a second.

pose2id bench parser [--weights FOLDER] [--people 200] [--threads 2]

Overlap is intersection over union, over the pixels of one picture each of so many people in visible light, in infrared,
and with something in front of them. Pictures a second are those of batches of decoded pictures, until their label maps
are there, on the CPU.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, pstdev

import torch
from PIL import Image
from rich.console import Console
from rich.table import Table

from pose2id.settings.flags import parse_command
from pose2id.settings.ranges import BATCH, COUNT, SEED, Range, check_ranges

from ..datasets.synthetic import View, World
from ..parsing.network import Parser, shipped_parser
from ..parsing.quality import quality_on_world

WIDTH = 120  # of the table, also where there is no terminal
REPETITIONS = 5


@dataclass
class Options:
    weights: str | None = None  # the shipped ones
    worlds: list[int] = field(default_factory=lambda: [1000, 1001, 1002])
    people: int = 200
    batch_size: int = 32
    threads: int | None = None  # of the network; all cores

    def __post_init__(self) -> None:
        ranges = {"worlds": SEED, "people": COUNT, "batch_size": BATCH, "threads": Range(1, 1024)}
        check_ranges(self, ranges)


def main(arguments: Sequence[str]) -> None:
    options = parse_command(Options, __doc__, arguments)
    if options is None:
        return
    if options.threads:
        torch.set_num_threads(options.threads)
    parser = Parser(Path(options.weights) if options.weights else shipped_parser())
    worlds = [quality_on_world(parser, seed, options.people) for seed in options.worlds]
    columns = list(worlds[0]["all"])
    table = Table("IoU in %", *columns, title=f"worlds {', '.join(map(str, options.worlds))}: mean ± deviation")
    for kind in worlds[0]:
        figures = [[100 * world[kind][column] for world in worlds] for column in columns]
        table.add_row(kind, *(f"{mean(values):.1f} ± {pstdev(values):.1f}" for values in figures))
    console = Console(width=WIDTH)
    console.print(table)
    console.print(f"{speed(parser, options.batch_size):.0f} pictures/s on {torch.get_num_threads()} threads")


def speed(parser: Parser, batch_size: int) -> float:
    """Pictures a second of the fastest of some batches, after one to warm up."""
    world = World(0)
    pictures = [Image.fromarray(world.shoot(View(pid, 0, 0)).picture) for pid in range(min(batch_size, 16))]
    batch = [pictures[number % len(pictures)] for number in range(batch_size)]
    parser(batch)
    seconds = []
    for _ in range(REPETITIONS):
        started = time.perf_counter()
        parser(batch)
        seconds.append(time.perf_counter() - started)
    return batch_size / min(seconds)
