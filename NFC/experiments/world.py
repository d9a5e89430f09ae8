"""A world: which data sets and networks there are, what is lacking, and the features of one on the other."""

import logging
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from torch import nn

from pose2id.errors import UserError

from ..chain import Chain
from ..datasets import Dataset, build_dataset, choose_options, generated_paths
from ..features.feature_set import FeatureSet
from ..features.files import describe_network
from ..features.of_dataset import FeatureFolder, extract_dataset
from ..networks import NETWORKS, Extractor, build_extractor
from ..scoring.protocol import Protocol
from ..scoring.scores import Scores, score

logger = logging.getLogger(__name__)

Thing = TypeVar("Thing")


class Lacking(UserError):
    """An experiment cannot be run. `needs`: what is missing in a few words -> a line that says where to get it."""

    def __init__(self, needs: Mapping[str, str]) -> None:
        super().__init__("; ".join(needs.values()))
        self.needs = needs

    @property
    def note(self) -> str:
        return "needs " + ", ".join(self.needs)


@contextmanager
def refused(what: str, get: str) -> Iterator[None]:
    """What cannot be read in the block is `Lacking`: one damaged or unfitting file ends one row, not the run."""
    try:
        yield
    except Lacking:
        raise
    except UserError as error:
        raise Lacking({what: f"{what}: {error}; get: {get}"}) from error


@dataclass
class DataSource:
    """A data set: its reader, where it lies, the reader's options, where to get it, the keypoints of its pictures."""

    dataset: str
    root: str
    options: dict[str, str] = field(default_factory=dict)
    get: str = ""
    keypoints: str | None = None  # as `pose2id evaluate --keypoints` takes them, for networks that they prompt


@dataclass
class NetworkSource:
    """A ReID network: its name in the registry, its weights (None: the preset's own), where to get them."""

    extractor: str
    weights: str | None = None
    preset: str = "sd15"
    get: str = ""


@dataclass
class GeneratorSource:
    """The generator that draws what a data set lacks."""

    preset: str = "sd15"
    directory: str | None = None
    pose_dir: str = "standard_poses"
    get: str = ""


@dataclass
class Sources:
    """Everything that lies somewhere else, by key. A world need not have every key that the paper has."""

    datasets: dict[str, DataSource] = field(default_factory=dict)
    networks: dict[str, NetworkSource] = field(default_factory=dict)
    generator: GeneratorSource = field(default_factory=GeneratorSource)
    batch_size: int = 64
    num_workers: int = 2
    device: str | None = None
    poses: int = 8


@dataclass(frozen=True)
class Bench:
    """A data set with the features of one network, generated pictures included."""

    dataset: Dataset
    query: FeatureSet
    gallery: FeatureSet

    def score(self, name: str, chain: Chain) -> Scores:
        return score(name, self.query, self.gallery, chain, Protocol.of(self.dataset))


class World:
    """Sources, and the place where features are kept.

    prepare: called before a data set is read, to make what can be made (a synthetic world writes the data set and
    draws its pictures); None where everything must be there. stand_in: the network used where the world has none
    of the paper's for a data set.
    """

    def __init__(
        self,
        name: str,
        sources: Sources,
        features: Path,
        prepare: Callable[[str, DataSource], None] | None = None,
        stand_in: str | None = None,
    ) -> None:
        self.name, self.sources, self.features, self.prepare, self.stand_in = name, sources, features, prepare, stand_in
        self.lacking: dict[str, None] = {}  # what was found missing so far, each line once
        self.dataset = lru_cache(self._dataset)
        self.bench = lru_cache(maxsize=2)(self._bench)

    def _dataset(self, key: str) -> Dataset:
        """The data set of a key; `Lacking` where it does not lie in its place."""
        source = self.sources.datasets[key]
        if self.prepare:
            self.prepare(key, source)
        if not Path(source.root).exists():
            raise Lacking({f"data set {key}": f"data set {key}: no folder {source.root}; get: {source.get}"})
        with refused(f"data set {key}", source.get):
            return build_dataset(source.dataset, source.root, **source.options)

    def options(self, key: str) -> str:
        """All options that the data set of a key is read with, such as `mode=all, shots=1, draw=random`."""
        source = self.sources.datasets.get(key)
        chosen = choose_options(source.dataset, source.options) if source else {}
        return ", ".join(f"{name}={value}" for name, value in chosen.items())

    def network(self, key: str) -> Extractor | nn.Module:
        """The network of a key; `Lacking` where it is not built yet, or its weights are not in their place."""
        if key not in self.sources.networks:
            raise Lacking({f"network {key}": f"network {key}: the {self.name} world has none"})
        source = self.sources.networks[key]
        if not is_built(source.extractor):
            what = f"extractor {source.extractor}"
            raise Lacking({what: f"network {key}: {what} is not built yet"})
        if source.weights and not Path(source.weights).is_file():
            raise Lacking({f"weights of {key}": f"network {key}: no weights {source.weights}; get: {source.get}"})
        with refused(f"network {key}", source.get):
            return build_extractor(source.extractor, source.weights, source.preset, self.sources.device)

    def remember(self, error: Lacking) -> None:
        """Keep the lines of an experiment, or of a row of it, that could not be run."""
        self.lacking |= dict.fromkeys(error.needs.values())

    def _bench(self, dataset: str, network: str) -> Bench:
        """Features of a network on a data set, from their files where they were extracted before.

        Raises `Lacking` with everything that this pair lacks.
        """
        lacking: dict[str, str] = {}
        extractor = collect(lacking, lambda: self.network(network))
        in_vain = extractor is None and self.prepare is not None  # nothing is drawn for a network that is not there
        data = None if in_vain else collect(lacking, lambda: self.dataset(dataset))
        if data:
            lacking |= self._lacking_pictures(dataset, data)
        if lacking:
            raise Lacking(lacking)
        self._prompt(extractor, dataset, network)
        query, gallery = extract_dataset(
            data,
            extractor,
            fused=("query", "gallery"),
            poses=self.sources.poses,
            files=FeatureFolder(self.features / network / dataset, describe_network(network, extractor)),
            batch_size=self.sources.batch_size,
            num_workers=self.sources.num_workers,
            device=self.sources.device,
        )
        return Bench(data, query, gallery)

    def _prompt(self, extractor: Extractor, dataset: str, network: str) -> None:
        """Show the network the keypoints of the data set's pictures, if it takes some."""
        if "keypoints" not in extractor.inputs:
            return
        if place := self.sources.datasets[dataset].keypoints:
            extractor.use_keypoints(place)
        else:
            logger.warning(
                "network %s is prompted in published figures, and not here: give data set %s `keypoints`",
                network,
                dataset,
            )

    def _lacking_pictures(self, key: str, data: Dataset) -> dict[str, str]:
        """A line that says how many generated pictures are missing, and the command that draws them."""
        people = [record for record in (*data.query, *data.gallery) if record.pid not in data.distractors]
        wanted = {path for record in people for path in generated_paths(record, self.sources.poses)}
        missing = [path for path in wanted if not path.is_file()]
        if not missing:
            return {}
        source, generator = self.sources.datasets[key], self.sources.generator
        command = ["pose2id", "generate", "--preset", generator.preset]
        command += ["--dataset", source.dataset, "--dataset_dir", source.root]
        command += [f"dataset_options.{name}={value}" for name, value in source.options.items()]
        line = (
            f"data set {key}: {len(missing)} of {len(wanted)} generated pictures are missing, such as {min(missing)}; "
            f"draw them: {shlex.join(command)} (weights of the generator: {generator.get})"
        )
        return {f"generated pictures of {key}": line}


def is_built(extractor: str) -> bool:
    """Whether the registry of extractors knows a name; those with a colon it finds elsewhere."""
    return extractor in NETWORKS or ":" in extractor


def collect(lacking: dict[str, str], fetch: Callable[[], Thing]) -> Thing | None:
    """What `fetch` gives; where it raises `Lacking`, None, and its needs are added to `lacking`."""
    try:
        return fetch()
    except Lacking as error:
        lacking |= error.needs
        return None
