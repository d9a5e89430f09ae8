"""What it costs to know the body: networks that are told of it, or see it themselves, beside the same without it.

pose2id bench body-networks [--only pie rbnet] [--small] [--batch_size 4] [--repetitions 3]

Official sizes and random weights, preprocessed pictures of people with their true keypoints to features, float32, on
the CPU. A baseline is the network's own backbone with the mean of its last map, at the size of its pictures. GFLOP are
those of products and convolutions, a multiplication and an addition counted as two. Each row is measured in a process
of its own, whose peak memory is told; pictures a second are of the fastest run after one to warm up. --small takes the
sizes that configs/train/reid/*.yaml train.
"""

import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import partial
from multiprocessing import get_all_start_methods, get_context
from multiprocessing.context import BaseContext
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

from pose2id.config import load_config
from pose2id.errors import UserError
from pose2id.resources import CONFIGS
from pose2id.settings.flags import parse_command
from pose2id.settings.ranges import BATCH, COUNT, check_ranges

from ..datasets.synthetic import View, World
from ..networks import trainable
from ..networks.blocks.inception import Trunk
from ..networks.body.points import resized
from ..networks.reid_network import ReIDNetwork
from ..training.job import ReIDTrainConfig
from ..training.network import read_sizes
from .extractors import WIDTH
from .nfc import peak_memory


def whole(network: ReIDNetwork) -> nn.Module:
    return network.extractor()


def mean_of(*modules: nn.Module) -> nn.Module:
    """These one after the other, and the mean over the last map."""
    return nn.Sequential(*modules, nn.AdaptiveAvgPool2d(1), nn.Flatten())


def smaller_picture(network: ReIDNetwork) -> nn.Module:
    return nn.Upsample((network.sizes.reid_height, network.sizes.reid_width), mode="bilinear", align_corners=True)


@dataclass(frozen=True)
class Row:
    """A network of the registry with changes to its sizes, or the `part` of it that knows no body.

    beside: the row that it is compared with; none for a baseline.
    """

    extractor: str
    beside: str | None = None
    part: Callable[[ReIDNetwork], nn.Module] = whole
    sizes: dict[str, object] = field(default_factory=dict)

    def network(self, small: bool) -> ReIDNetwork:
        kind = trainable(self.extractor)
        if not small:
            return kind(kind.Sizes(**self.sizes))
        config = load_config(ReIDTrainConfig, CONFIGS / "train" / "reid" / f"{self.extractor}.yaml", [])
        return kind(kind.Sizes(**asdict(read_sizes(config.network)) | self.sizes))


ROWS = {
    "mean over the map": Row("baseline"),
    "foreground": Row("foreground", "mean over the map"),
    "RBNet, two looks": Row("rbnet", "mean over the map"),
    "PIE, picture alone": Row("pie", part=lambda network: mean_of(network.backbone)),
    "PIE": Row("pie", "PIE, picture alone"),
    "Spindle Net, base alone": Row(
        "spindlenet", part=lambda network: nn.Sequential(network.backbone, network.base.middle, network.base)
    ),
    "Spindle Net": Row("spindlenet", "Spindle Net, base alone"),
    "PDC, picture alone": Row("pdc", part=lambda network: mean_of(Trunk(network.backbone.path, 3))),
    "PDC": Row("pdc", "PDC, picture alone"),
    "GLAD, picture alone": Row("glad", part=lambda network: mean_of(Trunk(network.backbone.path, 3))),
    "GLAD": Row("glad", "GLAD, picture alone"),
    "PABP, appearance alone": Row("pabp", sizes={"dialect": "mean"}),
    "PABP": Row("pabp", "PABP, appearance alone"),
    "SPReID, backbone alone": Row("spreid", part=lambda network: mean_of(smaller_picture(network), network.backbone)),
    "SPReID, with its parser": Row("spreid", "SPReID, backbone alone"),
    "SAP, class token alone": Row("sap", part=lambda network: network.base),
    "SAP": Row("sap", "SAP, class token alone"),
}


class Cost(NamedTuple):
    """Parameters in millions, GFLOP a picture, pictures a second, peak GiB."""

    parameters: float
    gflop: float
    pictures: float
    peak: float


def people(network: ReIDNetwork, count: int) -> dict[str, Tensor]:
    """Pictures of synthetic people as the network wants them, and their points (B, 18, 3)."""
    world, size = World(0), (network.sizes.height, network.sizes.width)
    shots = [world.shoot(View(pid, 0, 0)) for pid in range(count)]
    prepare, shown = network.preprocessing(), shots[0].picture.shape[:2]
    pictures = torch.stack([prepare(Image.fromarray(shot.picture)) for shot in shots])
    points = torch.from_numpy(np.stack([shot.keypoints for shot in shots]))
    return {"pictures": pictures, "points": resized(points, shown, size)}


@torch.no_grad()
def measure(name: str, small: bool, batch_size: int, repetitions: int) -> Cost:
    """One row; to be called in a fresh process."""
    torch.manual_seed(0)
    network = ROWS[name].network(small).eval().requires_grad_(False)
    measured, told = ROWS[name].part(network), people(network, batch_size)
    if "points" not in getattr(measured, "inputs", ()):
        del told["points"]

    def seconds() -> float:
        started = time.perf_counter()
        measured(*told.values()) if len(told) == 1 else measured(**told)
        return time.perf_counter() - started

    with FlopCounterMode(display=False) as counter:
        seconds()
    fastest = min(seconds() for _ in range(repetitions))
    parameters = sum(parameter.numel() for parameter in measured.parameters())
    gflop = counter.get_total_flops() / batch_size / 1e9
    return Cost(parameters / 1e6, gflop, batch_size / fastest, peak_memory("cpu") / 2**30)


def fresh_processes() -> BaseContext:
    """Of processes that know this file and have computed nothing; where the system can fork, it is read but once."""
    if "forkserver" not in get_all_start_methods():
        return get_context("spawn")
    context = get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


@dataclass
class BenchConfig:
    small: bool = False
    only: list[str] | None = None  # networks of the registry, with their baselines; all
    batch_size: int = 4
    repetitions: int = 3


def main(arguments: Sequence[str]) -> None:
    args = parse_command(BenchConfig, __doc__, arguments)
    if args is None:
        return
    check_ranges(args, {"batch_size": BATCH, "repetitions": COUNT})
    known = {row.extractor for row in ROWS.values() if row.beside}
    if unknown := set(args.only or ()) - known:
        raise UserError(f"no network '{min(unknown)}'; choose among: {', '.join(sorted(known))}")
    wanted = {name: row for name, row in ROWS.items() if row.beside and row.extractor in (args.only or known)}
    names = [name for name in ROWS if name in wanted or any(name == row.beside for row in wanted.values())]
    work = partial(measure, small=args.small, batch_size=args.batch_size, repetitions=args.repetitions)
    with ProcessPoolExecutor(1, fresh_processes(), max_tasks_per_child=1) as pool:
        found = tqdm(pool.map(work, names), total=len(names), unit="network", file=sys.stderr)
        costs = dict(zip(names, found, strict=True))
    table = Table(title=f"batches of {args.batch_size}, float32, {torch.get_num_threads()} threads")
    for column in ("", "parameters, M", "GFLOP", "pictures/s", "peak GiB", "times its baseline"):
        table.add_column(column, justify="right" if column else "left")
    for name, cost in costs.items():
        baseline = costs[ROWS[name].beside or name].pictures
        numbers = f"{cost.parameters:.1f}", f"{cost.gflop:.3g}", f"{cost.pictures:,.1f}", f"{cost.peak:.2f}"
        table.add_row(name, *numbers, f"{baseline / cost.pictures:.2f}" if ROWS[name].beside else "")
    console = Console()
    console.width = max(console.width, WIDTH)
    console.print(table)
