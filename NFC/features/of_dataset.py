"""The features that the rows of a table need of a data set: originals and generated pictures, each extracted once."""

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from pose2id.errors import UserError, printable

from ..datasets import Dataset, Record, generated_paths
from ..networks.base import NO_CAMERA, Extractor
from .extraction import extract_shards
from .feature_set import SPLITS, FeatureSet
from .files import Origin, describe_pictures, through_file

logger = logging.getLogger(__name__)


class MissingGenerated(Enum):
    """What to do when a generated picture is not on disk; a distractor always stands in for itself."""

    error = "error"
    original = "original"


@dataclass(frozen=True)
class FeatureFolder:
    """A folder of feature files, `query.safetensors`, `query_pose1.safetensors` and so on, for one network."""

    folder: Path
    network: Origin  # see `describe_network`; with precision and flip as in the extraction


def extract_dataset(
    dataset: Dataset,
    extractor: Extractor,
    fused: Collection[str] = (),
    poses: int = 8,
    missing: MissingGenerated = MissingGenerated.error,
    files: FeatureFolder | None = None,
    **loading,
) -> tuple[FeatureSet, FeatureSet]:
    """Features of all pictures of query and gallery, on the CPU.

    fused: the splits ("query", "gallery") whose generated pictures, `poses` of them an original, are wanted too.
    Originals are extracted with what the extractor wants besides pictures, and it is told which cameras are infrared;
    generated pictures with what is known of their poses alone. An original that stands in for a generated picture keeps
    the feature that it has. files: where features are kept and found again; None extracts everything. loading: see
    `extract_shards`.
    Raises `UserError` for a missing or unreadable picture, or features that are not finite.
    """
    if extractor.uses_camids and not dataset.cameras:
        logger.warning(
            "nobody noted the cameras of %s: the network is told of none, as for generated pictures", dataset.name
        )
    if poses < 1:
        raise UserError(f"poses must be at least 1, got {poses}")
    generated = {
        split: _find_generated(getattr(dataset, split), poses, missing, dataset.distractors)
        for split in SPLITS
        if split in fused
    }
    extractor.use_infrared(dataset.infrared)
    job = _Extraction(dataset, extractor, files, loading)
    return job.split("query", generated.get("query")), job.split("gallery", generated.get("gallery"))


def extract_split(dataset: Dataset, split: str, extractor: Extractor, **loading) -> FeatureSet:
    """Features of the originals of one split, "train", "query" or "gallery", on the CPU; as `extract_dataset`."""
    extractor.use_infrared(dataset.infrared)
    return _Extraction(dataset, extractor, None, loading).split(split, None)


@dataclass(frozen=True)
class _Extraction:
    dataset: Dataset
    extractor: Extractor
    files: FeatureFolder | None
    loading: dict[str, object]

    def split(self, name: str, generated: list[list[Path]] | None) -> FeatureSet:
        """A split's features; generated: (N, M) paths, where a record's own path means its own feature."""
        records: Sequence[Record] = getattr(self.dataset, name)
        labels = _labels(records)
        feats = self._features(name, records, [record.path for record in records], told_camids(self.dataset, records))
        extra = None
        if generated:
            extra = feats[:, None].repeat(1, len(generated[0]), 1)  # (N, M, d): the originals, where nothing better is
            for k, paths in enumerate(zip(*generated, strict=True)):
                drawn = [i for i, path in enumerate(paths) if path != records[i].path]
                if drawn:
                    pose = f"{name}_pose{k + 1}"
                    extra[drawn, k] = self._features(pose, [records[i] for i in drawn], [paths[i] for i in drawn])
        where = f"{name} of {self.dataset.name}"
        return FeatureSet.of(feats, labels["pids"], labels["camids"], extra, self.extractor.layout, where)

    def _features(
        self, name: str, records: Sequence[Record], paths: Sequence[Path], camids: Sequence[int] | None = None
    ) -> Tensor:
        """(n, d) of the pictures at `paths`, which show `records`; by way of the file `name` where there are files."""
        extract = partial(extract_shards, self.extractor, paths, camids, description=name, **self.loading)
        if self.files is None:
            return torch.cat(list(extract()))
        network = replace(self.files.network, parsing=self.extractor.parsing_state(paths))
        origin = describe_pictures(network, self.dataset.name, self.dataset.root, paths, camids)
        layout = self.extractor.layout
        beside = _labels(records) | ({layout.kind: torch.tensor(layout.sizes)} if layout.sizes else {})
        return through_file(self.files.folder / f"{name}.safetensors", origin, beside, extract)


def told_camids(dataset: Dataset, records: Sequence[Record]) -> list[int]:
    """The cameras of `records` as a network is told them: `NO_CAMERA` where nobody noted them."""
    return [record.camid if dataset.cameras else NO_CAMERA for record in records]


def _labels(records: Sequence[Record]) -> dict[str, Tensor]:
    return {
        "pids": torch.tensor([record.pid for record in records]),
        "camids": torch.tensor([record.camid for record in records]),
    }


def _find_generated(
    records: Sequence[Record], poses: int, missing: MissingGenerated, distractors: frozenset[int]
) -> list[list[Path]]:
    """The generated pictures (N, poses) of `records`; where allowed, the original stands in for a missing one."""
    found = [generated_paths(record, poses) for record in records]
    absent = []
    for record, paths in zip(records, found, strict=True):
        for k, path in enumerate(paths):
            if not path.is_file():
                paths[k] = record.path
                if missing is MissingGenerated.error and record.pid not in distractors:
                    absent.append(path)
    _refuse(absent, ", or use --missing_generated original")
    return found


def require_generated(records: Sequence[Record], poses: int) -> list[Path]:
    """The generated pictures of all `records`, `poses` of each; `UserError` for what is not there."""
    paths = [path for record in records for path in generated_paths(record, poses)]
    _refuse([path for path in paths if not path.is_file()])
    return paths


def _refuse(absent: Sequence[Path], otherwise: str = "") -> None:
    if absent:
        others = f" (and {len(absent) - 1} more)" if len(absent) > 1 else ""
        raise UserError(f"generated picture {printable(absent[0])} is missing{others}; generate it first{otherwise}")
