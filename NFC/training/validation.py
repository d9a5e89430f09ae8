"""Scores of a network in training, on query and gallery of a data set."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from pose2id.errors import UserError
from pose2id.settings.ranges import BATCH, check_ranges

from ..chain import Chain
from ..datasets import Dataset, build_dataset
from ..features.of_dataset import extract_dataset
from ..networks.base import Extractor
from ..networks.body.extractor import tell
from ..networks.reid_network import ReIDNetwork
from ..scoring.protocol import Protocol
from ..scoring.scores import score
from .bodies import BodyConfig
from .data import DataConfig


@dataclass
class ValidationConfig(BodyConfig):
    """The data set to score on; by default the one of the training pictures, with their keypoints and label maps."""

    dataset: str | None = None
    dataset_dir: str | None = None
    options: dict[str, str] = field(default_factory=dict)
    batch_size: int = 64

    def __post_init__(self) -> None:
        check_ranges(self, {"batch_size": BATCH}, "validation")


class Validation:
    """Called with (folder, step) by all processes of a run: scores on query and gallery, by the data set's rules."""

    def __init__(self, network: ReIDNetwork, config: ValidationConfig, training: DataConfig) -> None:
        """Raises `UserError` where no data set is named, or for one with cameras that training does not know."""
        if config.dataset:
            self.dataset = build_dataset(config.dataset, config.dataset_dir, **config.options)
        elif training.dataset:
            self.dataset = build_dataset(training.dataset, training.dataset_dir, **training.options)
        else:
            raise UserError("groups have no query and gallery: name validation.dataset, or set loop.validate_every=0")
        known = network.sizes.num_cameras if network.learns_cameras else 0
        cameras = 1 + max(record.camid for record in (*self.dataset.query, *self.dataset.gallery))
        if known and self.dataset.cameras and cameras > known:
            raise UserError(
                f"{self.dataset.name} at {self.dataset.root} has {cameras} cameras, but training only {known}; "
                "validate on another data set, or train without camera_embedding"
            )
        self.network, self.batch_size = network, config.batch_size
        self.places = config if config.dataset else _places(config, training)

    def __call__(self, folder: Path, step: int) -> dict[str, float]:
        """The scores of `score_extractor`; the network is left in training mode."""
        extractor = self.network.extractor()
        tell(extractor, _without_unused(self.places, extractor))
        scores = score_extractor(extractor, self.dataset, self.batch_size)
        self.network.train()
        return scores


def _places(config: BodyConfig, training: BodyConfig) -> BodyConfig:
    """Those of `config` and, for want of them, those of the training pictures."""
    labels = config if config.parsing else training
    return replace(labels, keypoints=config.keypoints or training.keypoints)


def _without_unused(places: BodyConfig, extractor: Extractor) -> BodyConfig:
    """Networks may learn from keypoints and label maps that they are not shown in tests."""
    keypoints = places.keypoints if {"keypoints", "points", "parsing"} & set(extractor.inputs) else None
    return replace(places, keypoints=keypoints, parsing=places.parsing if "parsing" in extractor.inputs else None)


def score_extractor(extractor: Extractor, dataset: Dataset, batch_size: int = 64) -> dict[str, float]:
    """mAP, rank1 and mINP in [0, 1] of plain features on query and gallery, on the device of the extractor."""
    device = next(extractor.parameters()).device
    query, gallery = extract_dataset(dataset, extractor, batch_size=batch_size, device=device)
    scores = score("Base", query, gallery, Chain(), Protocol.of(dataset))
    return {"mAP": scores.mAP, "rank1": float(scores.cmc[0]), "mINP": scores.mINP}
