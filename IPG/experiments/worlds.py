"""The worlds of the experiments: data sets and weights that lie somewhere, or everything made here."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path

import torch

from NFC.datasets.synthetic.layouts import write_layout
from NFC.experiments.world import DataSource, GeneratorSource, NetworkSource, Sources, World
from pose2id.config import load_config
from pose2id.errors import UserError
from pose2id.pictures import list_pictures
from pose2id.presets import default_directory
from pose2id.resources import CONFIGS, here_or_shipped

from ..job.run import generate
from ..job.settings import GenerationConfig, resolve

GENERIC = "NFC.experiments.generic:pose_estimator"


@dataclass
class SyntheticSet:
    """A data set to draw: a layout, its test people, and pictures for each person and camera (None: the layout's)."""

    layout: str
    test_pids: int
    shots: int | None = None


@dataclass
class SyntheticWorld:
    """What decides the synthetic world; its pictures are drawn by the mini preset."""

    seed: int = 2000
    datasets: dict[str, SyntheticSet] = field(default_factory=dict)
    steps: int = 8
    scheduler: str = "unipc"
    pose_dir: str | None = None  # standard_poses
    device: str | None = None


def real_world(config: Path | None, overrides: list[str], out: Path) -> World:
    """Data sets and weights where a YAML file says that they are."""
    return World(
        "real", load_config(Sources, config or CONFIGS / "reproduce" / "paths.yaml", overrides), out / "features"
    )


def synthetic_world(config: Path | None, overrides: list[str], out: Path) -> World:
    """Small data sets of people that training never saw, and the mini weights."""
    settings = load_config(SyntheticWorld, config or CONFIGS / "reproduce" / "synthetic.yaml", overrides)
    settings = replace(settings, pose_dir=settings.pose_dir or str(here_or_shipped("standard_poses")))

    def place(layout: str, **options: str) -> DataSource:
        return DataSource(layout, str(out / "data" / layout), options)

    mini = NetworkSource("transreid", preset="mini")
    generic = NetworkSource(GENERIC, str(default_directory("mini") / "pose_estimator" / "model.safetensors"))
    sources = Sources(
        datasets={
            "market1501": place("market1501"),
            "msmt17": place("msmt17"),
            "occluded_reid": place("occluded_reid"),
            "sysu_all": place("sysu_mm01", mode="all"),
            "sysu_indoor": place("sysu_mm01", mode="indoor"),
        },
        networks={"transreid": mini, "transreid_msmt17": mini, "generic": generic},
        generator=GeneratorSource(preset="mini", pose_dir=settings.pose_dir),
        poses=len(list_pictures(settings.pose_dir)[0]),
        device=settings.device,
        num_workers=0,
    )
    prepare = partial(make_dataset, settings)
    return World("synthetic", sources, out / "features", prepare, stand_in="transreid")


WORLDS: dict[str, Callable[[Path | None, list[str], Path], World]] = {"real": real_world, "synthetic": synthetic_world}


def make_dataset(settings: SyntheticWorld, key: str, source: DataSource) -> None:
    """Write what the data set lacks, real pictures and generated ones."""
    chosen = {key: value for key, value in asdict(settings.datasets[source.dataset]).items() if value is not None}
    write_layout(chosen.pop("layout"), Path(source.root), settings.seed, train_pids=1, **chosen)
    config = GenerationConfig(
        preset="mini",
        pose_dir=settings.pose_dir,
        dataset=source.dataset,
        dataset_dir=source.root,
        dataset_options=source.options,
        steps=settings.steps,
        scheduler=settings.scheduler,
        device=settings.device,
    )
    threads = torch.get_num_threads()
    failures = generate(resolve(config))
    torch.set_num_threads(threads)  # the generator takes one for each of its own
    if failures:
        raise UserError(f"{key}: {len(failures)} pictures could not be drawn, such as: {failures[0]}")
