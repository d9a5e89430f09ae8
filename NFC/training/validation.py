"""Scores of a network in training, on query and gallery of a data set."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch.utils.data import DataLoader

from pose2id.errors import UserError
from pose2id.presets import TransReIDSizes

from ..chain import Chain
from ..datasets import Record, build_dataset
from ..features.extraction import Pictures
from ..features.feature_set import FeatureSet
from ..networks.base import Extractor, Preprocessing
from ..networks.transreid import TransReID
from ..scoring.protocol import Protocol
from ..scoring.scores import score
from .data import DataConfig


@dataclass
class ValidationConfig:
    """The data set to score on; by default the one of the training pictures."""

    dataset: str | None = None
    dataset_dir: str | None = None
    options: dict[str, str] = field(default_factory=dict)
    batch_size: int = 64


class Validation:
    """Called with (folder, step): scores the network on query and gallery, by the data set's rules."""

    def __init__(
        self, network: TransReID, sizes: TransReIDSizes, config: ValidationConfig, training: DataConfig
    ) -> None:
        """Raises `UserError` where no data set is named, or for one with cameras that training does not know."""
        if config.dataset:
            self.dataset = build_dataset(config.dataset, config.dataset_dir, **config.options)
        elif training.dataset:
            self.dataset = build_dataset(training.dataset, training.dataset_dir, **training.options)
        else:
            raise UserError("groups have no query and gallery: name validation.dataset, or set loop.validate_every=0")
        table = network.base.sie_embed
        cameras = 1 + max(record.camid for record in (*self.dataset.query, *self.dataset.gallery))
        if table is not None and cameras > len(table):
            raise UserError(
                f"{self.dataset.name} at {self.dataset.root} has {cameras} cameras, but training only {len(table)}; "
                "validate on another data set, or train without camera_embedding"
            )
        preprocessing = Preprocessing(sizes.height, sizes.width)
        self.extractor = Extractor(network, network.feature_dim, preprocessing, uses_camids=table is not None)
        self.batch_size = config.batch_size

    def __call__(self, folder: Path, step: int) -> dict[str, float]:
        """mAP, rank1 and mINP in [0, 1]; the network is left in training mode."""
        query, gallery = self._features(self.dataset.query), self._features(self.dataset.gallery)
        scores = score("Base", query, gallery, Chain(), Protocol.of(self.dataset))
        return {"mAP": scores.mAP, "rank1": float(scores.cmc[0]), "mINP": scores.mINP}

    @torch.inference_mode()
    def _features(self, records: Sequence[Record]) -> FeatureSet:
        """By this process alone: the others of a training do not help."""
        extractor = self.extractor.eval()
        device = next(extractor.parameters()).device
        paths, camids = [record.path for record in records], [record.camid for record in records]
        pictures = Pictures(paths, camids, lambda picture, path: extractor.preprocess(picture))
        feats = [
            extractor(images.to(device), cameras.to(device)).float().cpu()
            for images, cameras in DataLoader(pictures, self.batch_size)
        ]
        extractor.train()
        return FeatureSet(torch.cat(feats), torch.tensor([record.pid for record in records]), torch.tensor(camids))
