"""The job itself: every stage once, from the config to scores and files."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from pose2id.devices import pick_device, this_process
from pose2id.errors import UserError

from ..chain import Chain
from ..datasets import Dataset, build_dataset, check
from ..features.feature_set import FeatureSet
from ..features.files import describe_network
from ..features.imported import read_features
from ..features.of_dataset import FeatureFolder, extract_dataset
from ..networks import build_extractor
from ..report.rank_lists import compare_rank_lists
from ..report.score_page import write_score_page
from ..scoring.protocol import Protocol
from ..scoring.scores import Scores, score_rows
from .benchmark import benchmark_numbers
from .config import EvaluateConfig
from .saved import save_centralized

logger = logging.getLogger(__name__)


def evaluate(config: EvaluateConfig) -> tuple[list[Scores], list[Path]]:
    """Score every row, write the page and centralized features where wanted; returns the scores and what was written.

    Under `accelerate launch` only the main process scores; the others help to extract and return nothing.
    Raises `UserError` for whatever the user can repair, before anything is written.
    """
    rows = config.rows(benchmark_numbers(config.dataset, config.options, config.numbers) if config.root else None)
    device = pick_device(config.device)
    _check_outputs(config, rows)
    dataset = build_dataset(config.dataset, config.root, **config.options) if config.root else None
    if dataset and this_process().is_main_process:
        for line in check(dataset):
            logger.warning("%s", line)
    nobody = frozenset() if config.distractor is None else frozenset({config.distractor})
    protocol = Protocol.of(dataset) if dataset else Protocol(distractors=nobody)
    if config.features:
        records = (dataset.query, dataset.gallery) if dataset else None
        query, gallery = read_features(config.features, config.labels, records)
        rows = _possible_rows(rows, query, gallery) if config.ablation else rows
    elif dataset:
        query, gallery = _extract(config, dataset, rows, device)
    else:
        raise UserError("no data set folder; give --root DIR, or --features QUERY GALLERY")
    if not this_process().is_main_process:
        return [], []
    query, gallery = query.to(device), gallery.to(device)
    scores, written = score_rows(query, gallery, rows, protocol), []
    if config.page:
        written.append(_write_page(Path(config.page), config.title, dataset, query, gallery, scores))
    if config.save_features:
        (chain,) = rows.values()
        written.append(save_centralized(Path(config.save_features), query, gallery, chain, protocol))
    return scores, written


def _check_outputs(config: EvaluateConfig, rows: Mapping[str, Chain]) -> None:
    """`UserError` for files that cannot be written from what is given."""
    if config.page and not config.page.lower().endswith((".html", ".htm")):
        raise UserError(f"page '{config.page}' is no HTML file; give a name that ends in .html")
    if config.page and not config.root:
        raise UserError(
            "page shows pictures, and feature files hold none; give --dataset and --root, such as --dataset custom and "
            "--root TABLE.csv, or leave out page"
        )
    if config.save_features and len(rows) > 1:
        raise UserError("save_features saves the features of one row; leave out ablation, and give ipg and nfc")


def _write_page(
    path: Path, title: str, dataset: Dataset, query: FeatureSet, gallery: FeatureSet, scores: Sequence[Scores]
) -> Path:
    """The page with the first row's rank lists against the last one's; a single row is held against no step at all."""
    first, last = scores[0], scores[-1]
    name, before = (first.name, first.chain) if len(scores) > 1 else ("no step", Chain())
    compared = f"Before: {name}. After: {last.name}. AP: average precision in percent."
    if dataset.trials:
        compared += f" Trial 1 of {len(dataset.trials)}."
    lists = compare_rank_lists(dataset, query, gallery, before, last.chain)
    return write_score_page(path, title, scores, lists, compared)


def _possible_rows(rows: Mapping[str, Chain], query: FeatureSet, gallery: FeatureSet) -> Mapping[str, Chain]:
    """The rows without those that need generated features which a user's files lack."""
    if query.generated is not None and gallery.generated is not None:
        return rows
    logger.warning("the feature files hold no generated features; the rows with IPG are left out")
    return {name: chain for name, chain in rows.items() if not chain.fused_splits}


def _extract(
    config: EvaluateConfig, dataset: Dataset, rows: Mapping[str, Chain], device: torch.device
) -> tuple[FeatureSet, FeatureSet]:
    """Raw features of the data set's pictures, from the network or from `features_dir`."""
    extractor = build_extractor(config.extractor, config.weights, config.preset, device)
    if config.keypoints:
        extractor.use_keypoints(config.keypoints)
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
