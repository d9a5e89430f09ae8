"""The features that an evaluation scores: of a user's files, or of a data set's pictures."""

import logging
from collections.abc import Mapping
from pathlib import Path

import torch

from pose2id.errors import UserError

from ..chain import Chain
from ..datasets import Dataset
from ..features.feature_set import FeatureSet
from ..features.files import describe_network
from ..features.imported import read_features
from ..features.of_dataset import FeatureFolder, extract_dataset
from ..networks import Extractor, build_extractor
from ..networks.body.extractor import tell
from .config import EvaluateConfig

logger = logging.getLogger(__name__)

Sets = tuple[FeatureSet, FeatureSet]  # query and gallery


def find_features(
    config: EvaluateConfig, dataset: Dataset | None, rows: Mapping[str, Chain], device: torch.device
) -> tuple[Sets, Mapping[str, Chain]]:
    """Query and gallery, and those of the rows that they allow; `UserError` for whatever the user can repair."""
    if config.features:
        records = (dataset.query, dataset.gallery) if dataset else None
        sets = read_features(config.features, config.labels, records, labelled=config.save_features is None)
        return sets, _possible_rows(rows, sets) if config.ablation else rows
    if dataset is None:
        raise UserError("no data set folder; give --root DIR, or --features QUERY GALLERY")
    return _extract(config, dataset, rows, device), rows


def _possible_rows(rows: Mapping[str, Chain], sets: Sets) -> Mapping[str, Chain]:
    """The rows without those that need generated features which a user's files lack."""
    if all(features.generated is not None for features in sets):
        return rows
    logger.warning("the feature files hold no generated features; the rows with IPG are left out")
    return {name: chain for name, chain in rows.items() if not chain.fused_splits}


def _extract(config: EvaluateConfig, dataset: Dataset, rows: Mapping[str, Chain], device: torch.device) -> Sets:
    """Raw features of the data set's pictures, from the network or from `features_dir`."""
    extractor = build_extractor(config.extractor, config.weights, config.preset, device, config.picture_size)
    _tell(extractor, config)
    files = None
    if config.features_dir:
        network = describe_network(config.extractor, extractor, config.precision, config.flip)
        files = FeatureFolder(Path(config.features_dir), network)
    return extract_dataset(
        dataset,
        extractor,
        fused={split for chain in rows.values() for split in chain.fused_splits},  # of any row
        poses=config.poses,
        missing=config.missing_generated,
        files=files,
        batch_size=config.batch_size,
        num_workers=config.num_workers,
        device=device,
        precision=config.precision,
        flip=config.flip,
    )


def _tell(extractor: Extractor, config: EvaluateConfig) -> None:
    """Let the network know where to find what it is told, and how to look; `UserError` for what it cannot take."""
    tell(extractor, config)
    if config.own_size:
        extractor.use_own_size()
    if config.generated_keypoints:
        extractor.use_generated_keypoints(config.generated_keypoints)
    if "points" in extractor.inputs and not config.keypoints:
        logger.warning("%s is told where the body is, but not here: give --keypoints", config.extractor)
    if "keypoints" in extractor.inputs and not config.keypoints:
        logger.warning(
            "%s is prompted with keypoints in published figures, and not here: give --keypoints", config.extractor
        )
