"""The paper's tables and figures: its experiments, with its figures beside ours.

pose2id reproduce all --world synthetic
pose2id reproduce table2 fig8 --config my_paths.yaml
pose2id reproduce table1 datasets.market1501.root=/data/Market-1501-v15.09.15
pose2id reproduce lecture thesis.similarity --world synthetic

The real world needs data sets, weights and generated pictures where `configs/reproduce/paths.yaml` (copy it) says;
what is missing is listed with the place to get it. The synthetic world makes its own small data sets and pictures with
the shipped mini weights, about 15 minutes on two CPU cores for all. Everything goes to outputs/reproduce/<world>/:
a folder an experiment, and index.html with all of them. A run that was stopped goes on when run again.

lecture and thesis compare other methods with their baselines, all trained here, on the synthetic world: each table
of configs/reproduce/<name>.yaml, or one of them, such as lecture.alignment, with a page of its own.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from NFC.experiments.catalogue import EXPERIMENTS
from NFC.experiments.comparison.run import COMPARISONS, run_comparison
from NFC.experiments.results import save_result, show, write_index
from NFC.experiments.world import Lacking, World
from pose2id.errors import UserError
from pose2id.settings.flags import parse_command

from ..experiments.estimated import estimated_keypoints
from ..experiments.fig5 import fig5
from ..experiments.worlds import WORLDS

NAMES = (*(f"table{k}" for k in range(1, 11)), *(f"fig{k}" for k in (4, 5, 7, 8, 9)))
INTRODUCTION = {
    "real": "The paper's experiments with the official weights on the real data sets; the paper's figures beside ours.",
    "synthetic": "The paper's experiments on small synthetic data sets with the mini weights. The paper's figures are "
    "of the real data sets and other networks: compare what centralization changes, not the level.",
}


@dataclass
class ReproduceConfig:
    items: list[str] = field(default_factory=list)  # experiments, or all; key=value changes settings of the world
    world: str = "real"  # or synthetic
    config: str | None = None  # YAML file of the world (configs/reproduce/paths.yaml, or synthetic.yaml)
    out: str = "outputs/reproduce"


def main(arguments: Sequence[str]) -> int:
    config = parse_command(ReproduceConfig, __doc__, arguments, positional="items", foreign=True)
    if config is None:
        return 0
    overrides = [item for item in config.items if "=" in item]
    names = [item for item in config.items if "=" not in item]
    compared = [name for name in names if name.partition(".")[0] in COMPARISONS]
    if compared:
        compare_all(compared, config, overrides)
        names = [name for name in names if name not in compared]
        if not names:
            return 0
    names = NAMES if "all" in names else names
    if unknown := [name for name in names if name not in NAMES]:
        raise UserError(f"unknown experiment '{unknown[0]}'; choose from: all, {', '.join((*NAMES, *COMPARISONS))}")
    if not names:
        raise UserError(f"name an experiment: all, {', '.join((*NAMES, *COMPARISONS))}")
    if config.world not in WORLDS:
        raise UserError(f"unknown world '{config.world}'; choose one of: {', '.join(WORLDS)}")
    out = Path(config.out) / config.world
    world = WORLDS[config.world](Path(config.config) if config.config else None, overrides, out)
    done = [name for name in names if run(name, world, out / name)]
    if done:
        print(f"page: {write_index(out, NAMES, f'Pose2ID, {config.world} world', INTRODUCTION[config.world])}")
    if world.lacking:
        print("Missing:", *world.lacking, sep="\n  ", file=sys.stderr)
    return 0 if not world.lacking else 1 if done else 2


def compare_all(names: Sequence[str], config: ReproduceConfig, overrides: list[str]) -> None:
    """Run comparisons, or single tables of them."""
    if config.world != "synthetic":
        raise UserError(f"{names[0]} trains its networks on the synthetic world; add --world synthetic")
    for name in names:
        comparison, _, table = name.partition(".")
        out = Path(config.out) / config.world / comparison
        page = run_comparison(comparison, table, config.config, overrides, out, estimated_keypoints)
        print(f"page: {page}")


def run(name: str, world: World, out: Path) -> bool:
    """Run an experiment, print its tables and save it; False if it lacks too much to measure anything."""
    print(f"\n== {name}", flush=True)
    try:
        result = fig5(world, out) if name == "fig5" else EXPERIMENTS[name](world)
    except Lacking as error:
        world.remember(error)
        print(f"not run: {error.note}")
        return False
    if result.empty:
        print("not run: every row needs something, see the end")
        return False
    show(result)
    save_result(out, name, result)
    return True
