"""The rows of a comparison: features of a trained network, refined and compared, scored for each kind of queries."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from pose2id.files import write_text
from pose2id.reading.text import read_json

from ...chain import Chain
from ...datasets import Dataset, build_dataset
from ...datasets.partial_queries import write_partial_queries
from ...evaluation.benchmark import benchmark_numbers
from ...features.feature_set import FeatureSet
from ...features.kinds import VectorFeatures
from ...features.of_dataset import extract_split
from ...matching.conflicts import conflicts_of, write_conflicts
from ...methods import build_methods, with_network
from ...networks import Extractor, build_extractor, trainable
from ...networks.body.extractor import tell
from ...report.table import score_row
from ...scoring.protocol import Protocol
from ...scoring.scores import score
from ...training.bodies import BodyConfig
from .controls import CONTROLS
from .settings import ORDINARY, DataRecipe, RowRecipe, described
from .training import Source, Workshop

CONFLICTS = "<conflicts>"
Figures = Mapping[str, Mapping[str, float]]  # kind of queries -> metric -> value, as in `score_row`


class Bench:
    """Scores rows on the data set `data` of a workshop."""

    def __init__(self, workshop: Workshop, data: str) -> None:
        self.workshop, self.data = workshop, data
        self.recipe = workshop.comparison.data[data]
        self.dataset = workshop.dataset(data)
        self.queries = lru_cache(self._queries)
        self.features = lru_cache(maxsize=2)(self._features)

    def score(self, row: RowRecipe, seed: int, folder: Path) -> Figures:
        """The figures of a row with one seed; those that are in `folder`, under a name made of its settings, if any.

        They are scored anew where the network was trained again.
        """
        settings = json.dumps([described(row), described(self.recipe)], sort_keys=True)
        file = folder / f"{hashlib.sha256(settings.encode()).hexdigest()[:16]}-{seed}.json"
        source = self.workshop.network(row.network, seed)
        if not file.is_file() or _is_newer(source.weights, file):
            write_text(file, json.dumps({"row": settings, "figures": self._score(row, source, seed)}))
        return read_json(file, "figures of a row")["figures"]

    def _score(self, row: RowRecipe, source: Source, seed: int) -> Figures:
        chain = chain_of(self._steps(row, source, seed), self.recipe, source)
        gallery, queries = self.features(source, row.features, json.dumps(row.sizes), *self._known(row))
        gallery, figures = numbered(gallery, row.numbers), {}
        for kind, query in queries.items():
            some = numbered(query, row.numbers)[torch.arange(0, len(query), row.every)]
            some = CONTROLS[row.control](some) if row.control else some
            figures[kind] = score_row(score(kind, some, gallery, chain, Protocol.of(self.dataset))).values
        return figures

    def _known(self, row: RowRecipe) -> tuple[str, str]:
        """How keypoints and label maps are known: by default as in training."""
        recipe = self.workshop.comparison.networks[row.network]
        return row.points or recipe.points, row.parsing or recipe.parsing

    def _steps(self, row: RowRecipe, source: Source, seed: int) -> list[Any]:
        """Of the row; `CONFLICTS` in one stands for the file of conflicts of the training split (MoS)."""
        if not any(CONFLICTS in str(step) for step in row.steps):
            return row.steps
        file = self.workshop.out / "networks" / row.network / f"conflicts-{seed}.safetensors"
        if not file.is_file():
            extractor = build_extractor(*source, self.workshop.comparison.device)
            training = extract_split(self.dataset, "train", extractor, device=self.workshop.comparison.device)
            write_conflicts(conflicts_of(training.feats.flatten(), training.pids), file)
        return [str(step).replace(CONFLICTS, str(file)) for step in row.steps]

    def _queries(self, kind: str) -> Dataset:
        """The data set with its queries cut to a kind."""
        if kind == ORDINARY:
            return self.dataset
        name, root = self.recipe.dataset, self.workshop.out / "data" / f"{self.data}_{kind}"
        write_partial_queries(name, self.dataset.root, root, kind, self.workshop.comparison.seed, **self.recipe.read)
        return build_dataset(name, root, **self.recipe.read)

    def _features(
        self, source: Source, reader: str, sizes: str, points: str, parsing: str
    ) -> tuple[FeatureSet, Mapping[str, FeatureSet]]:
        """Of the gallery, and of the queries of each kind; sizes: of the reader, as JSON."""
        comparison = self.workshop.comparison
        extractor = build_extractor(source.extractor, source.weights, source.preset, comparison.device)
        if (changes := json.loads(sizes)) or reader:
            extractor = reading(reader or source.extractor, extractor, changes)
        loading = {"batch_size": comparison.batch_size, "device": comparison.device}
        known = (points if "points" in extractor.inputs else "", parsing if "parsing" in extractor.inputs else "")

        def features(kind: str, split: str) -> FeatureSet:
            dataset = self.queries(kind)
            tell(extractor, BodyConfig(**self.workshop.body_places(self.data, kind, dataset, *known)))
            return extract_split(dataset, split, extractor, **loading)

        queries = {kind: features(kind, "query") for kind in self.recipe.kinds}
        return features(ORDINARY, "gallery"), queries


def _is_newer(weights: str | None, file: Path) -> bool:
    """Whether a network was trained again since `file` was written."""
    return weights is not None and Path(weights).stat().st_mtime_ns > file.stat().st_mtime_ns


def chain_of(steps: Sequence[Any], data: DataRecipe, source: Source) -> Chain:
    """The chain of a row; `UserError` for steps that cannot be."""
    numbers = with_network(benchmark_numbers(data.dataset, data.read, {}), **source._asdict())
    return Chain.of(*build_methods(steps, numbers))


def reading(name: str, extractor: Extractor, sizes: Mapping[str, Any]) -> Extractor:
    """The network `name` with `sizes` over the backbone of `extractor`: what else it has, of mini size, is not trained.

    Of the network that `extractor` has, its own weights and other sizes where `sizes` has some.
    """
    own, kind = extractor.network, trainable(name)
    if type(own) is kind:
        network = kind(replace(own.sizes, **sizes))
        network.load_state_dict(own.state_dict())
    else:
        network = kind(replace(kind.preset_sizes("mini"), **sizes))
        network.backbone = own.backbone
    return network.eval().requires_grad_(False).extractor(extractor.preprocessing)


def numbered(features: FeatureSet, numbers: Sequence[int]) -> FeatureSet:
    """The same with some of the numbers of each feature alone, [first, behind the last]; all where none are told."""
    if not numbers:
        return features
    first, stop = numbers
    return replace(features, feats=VectorFeatures(features.feats.as_vectors()[..., first:stop]))
