"""The data sets of a comparison, written when they are needed, and its networks, each trained once a seed."""

import json
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from pose2id.config import load_config
from pose2id.errors import UserError
from pose2id.files import write_text
from pose2id.presets import default_directory
from pose2id.reading.text import read_json
from pose2id.resources import CONFIGS

from ...datasets import Dataset, build_dataset
from ...datasets.synthetic.layouts import write_layout
from ...networks import trainable
from ...training.job import ReIDTrainConfig, train
from .bodies import ORDINARY, BodyFiles, Estimate, Pictures
from .settings import Comparison, Recipe

DONE = "trained.json"  # in the folder of a network whose training is over: what it was trained with


class Source(NamedTuple):
    """Where a network comes from: its name in the registry, its file (None: that of the preset), its preset."""

    extractor: str
    weights: str | None
    preset: str


class Workshop:
    """Everything below `out`: `data/<name>`, `networks/<name>/<seed>`. What is there is not made again."""

    def __init__(self, comparison: Comparison, out: Path, estimate: Estimate | None = None) -> None:
        self.comparison, self.out, self.estimate = comparison, out, estimate
        self.dataset = lru_cache(self._dataset)

    def root(self, data: str) -> Path:
        recipe = self.comparison.data[data]
        return self.out / "data" / (recipe.files or data)

    def _dataset(self, data: str) -> Dataset:
        recipe = self.comparison.data[data]
        if recipe.files:
            self.dataset(recipe.files)
        else:
            people = {"train_pids": recipe.train_pids, "test_pids": recipe.test_pids}
            truth = {"masks": recipe.bodies, "keypoints": recipe.bodies}
            seed = self.comparison.seed if recipe.seed is None else recipe.seed
            write_layout(recipe.layout, self.root(data), seed, **people, **truth, **recipe.write)
        return build_dataset(recipe.dataset, self.root(data), **recipe.read)

    def body_places(self, data: str, kind: str, dataset: Dataset, points: str, parsing: str) -> dict[str, str]:
        """Where keypoints and label maps of `data` with queries of a `kind`, which is `dataset`, are: see `bodies`."""
        folder = self.out / "bodies" / (data if kind == ORDINARY else f"{data}_{kind}")
        pictures = Pictures(dataset, self.comparison.data[data].read, kind, self.root(data))
        return BodyFiles(folder, self.comparison.seed, self.estimate).places(pictures, points, parsing)

    def network(self, name: str, seed: int) -> Source:
        """A network, trained now if it was not before; `UserError` where it was trained with other settings."""
        recipe = self.comparison.networks[name]
        if recipe.shipped:
            return Source(recipe.config, None, recipe.shipped)
        folder = self.out / "networks" / name / str(seed)
        settings, done = self._settings(recipe, folder, seed), folder / DONE
        config = load_config(ReIDTrainConfig, CONFIGS / "train" / "reid" / f"{recipe.config}.yaml", settings)
        wanted = json.loads(json.dumps(asdict(config), default=str))  # what is missing has no type of JSON
        if not done.is_file():
            train(config)
            write_text(done, json.dumps(wanted, indent=1) + "\n")
        elif read_json(done, "settings of a network") != wanted:
            raise UserError(f"{folder} was trained with other settings; remove it, or name another --out")
        (file,) = folder.glob("*.safetensors")
        return Source(config.network.name, str(file), config.network.preset)

    def _settings(self, recipe: Recipe, folder: Path, seed: int) -> list[str]:
        """Changes to the recipe's file."""
        dataset = self.dataset(recipe.data)
        told = self.body_places(recipe.data, ORDINARY, dataset, recipe.points, recipe.parsing)
        data = self.comparison.data[recipe.data]
        places = [
            "data.groups=null",
            f"data.dataset={data.dataset}",
            f"data.dataset_dir={self.root(recipe.data)}",
            f"data.cache={self.out / 'cache'}",
            f"loop.output_dir={folder}",
            f"loop.seed={seed}",
            *(f"data.options.{name}={value}" for name, value in data.read.items()),
            *(f"data.{name}={place}" for name, place in told.items()),
        ]
        start = self.network(recipe.after, seed).weights if recipe.after else None
        if recipe.start:
            start = default_directory("mini") / f"{trainable(recipe.start).file_stem()}.safetensors"
        return [*places, *([f"network.start={start}"] if start else []), *recipe.changes]
