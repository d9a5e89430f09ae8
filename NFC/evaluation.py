"""The job behind `evaluate.py`: features from a data set or from files, scores of every row, centralized features."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pose2id.devices import pick_device, this_process
from pose2id.errors import UserError
from pose2id.files import replacing

from .datasets import Dataset, build_dataset, check
from .features.extraction import Precision
from .features.feature_set import FeatureSet
from .features.files import describe_network
from .features.imported import read_features
from .features.of_dataset import FeatureFolder, MissingGenerated, extract_dataset
from .networks import build_extractor
from .report.rank_lists import compare_rank_lists
from .report.score_page import write_score_page
from .scoring.protocol import (
    Centralization,
    Protocol,
    Scores,
    Side,
    ablation_rows,
    centralize,
    fused_splits,
    score_rows,
    trial_features,
)

logger = logging.getLogger(__name__)


@dataclass
class EvaluateConfig:
    """Every option of `evaluate.py`; each is a flag, a key of the YAML file and a key=value override."""

    dataset: str = "market1501"
    root: str | None = None  # folder of the data set
    options: dict[str, Any] = field(default_factory=dict)  # of the data set, such as options.mode=indoor
    features: list[str] | None = None  # two files, query and gallery, instead of an extractor
    labels: list[str] | None = None  # two files with the pids and camids of `features`, if those lack them
    distractor: int | None = None  # with `features` and no root: the pid of gallery pictures that show nobody
    extractor: str = "transreid"
    preset: str = "sd15"
    weights: str | None = None  # extractor weights; by default the preset's own
    keypoints: str | None = None  # folder of keypoint files that KPR is prompted with
    ipg: Side = Side.none  # none, gallery, query or both
    nfc: Side = Side.none
    eta: float = 1.0
    reduction: str = "sum"  # or mean
    k1: int = 2
    k2: int = 2
    expansion: int = 0  # gallery pictures that each query is averaged with; 0 is no query expansion
    alpha: float = 0.0  # weight similarity**alpha of these; 0 is the plain average
    rerank: bool = False  # k-reciprocal re-ranking
    rerank_k1: int = 20
    rerank_k2: int = 6
    rerank_lambda: float = 0.3
    affinity: bool = False  # SAAI's affinity inference, on sysu_mm01 and regdb
    poses: int = 8
    missing_generated: MissingGenerated = MissingGenerated.error  # or original: the picture stands in for itself
    ablation: bool = False  # the four rows Base, +NFC, +IPG, +NFC+IPG instead of one row with ipg and nfc
    precision: Precision = Precision.float32  # of the network: float32, bfloat16 or float16
    flip: bool = False  # mean of the features of a picture and of its mirror image
    batch_size: int = 64
    num_workers: int = 2
    device: str | None = None  # by default a GPU if there is one
    features_dir: str | None = None  # folder where raw features are kept and found again
    save_features: str | None = None  # folder for centralized features
    out: str | None = None  # folder for the report
    page: str | None = None  # HTML file with the table, curves and the queries that gained and lost most

    @property
    def settings(self) -> Centralization:
        return Centralization(**{option.name: getattr(self, option.name) for option in fields(Centralization)})

    @property
    def rows(self) -> Mapping[str, Centralization]:
        """The rows of the table by name."""
        if self.ablation:
            return ablation_rows(self.settings)
        steps = [f"ipg {self.ipg.value}", f"nfc {self.nfc.value}"]
        steps += [f"expansion {self.expansion}"] if self.expansion else []
        steps += ["re-ranked"] if self.rerank else []
        steps += ["affinity"] if self.affinity else []
        return {", ".join(steps): self.settings}

    @property
    def title(self) -> str:
        if self.features:
            return " and ".join(self.features)
        options = [f"{name}={value}" for name, value in self.options.items()]
        return ", ".join([self.dataset, *options, f"{self.extractor} ({self.preset})"])


def evaluate(config: EvaluateConfig) -> tuple[list[Scores], list[Path]]:
    """Score every row, write the page and centralized features where wanted; returns the scores and what was written.

    Under `accelerate launch` only the main process scores; the others help to extract and return nothing.
    Raises `UserError` for whatever the user can repair, before anything is written.
    """
    rows, device = config.rows, pick_device(config.device)
    if config.page and not config.page.lower().endswith((".html", ".htm")):
        raise UserError(f"page '{config.page}' is no HTML file; give a name that ends in .html")
    if config.page and not config.root:
        raise UserError(
            "page shows pictures, and feature files hold none; give --dataset and --root, such as --dataset custom and "
            "--root TABLE.csv, or leave out page"
        )
    if config.save_features and len(rows) > 1:
        raise UserError("save_features saves the features of one row; leave out ablation, and give ipg and nfc")
    dataset = build_dataset(config.dataset, config.root, **config.options) if config.root else None
    if dataset and this_process().is_main_process:
        for line in check(dataset):
            logger.warning("%s", line)
    nobody = frozenset() if config.distractor is None else frozenset({config.distractor})
    protocol = Protocol.of(dataset) if dataset else Protocol(distractors=nobody)
    protocol.check(config.settings)
    if config.features:
        records = (dataset.query, dataset.gallery) if dataset else None
        query, gallery = read_features(config.features, config.labels, records)
        rows = _possible_rows(rows, query, gallery) if config.ablation else rows
    elif dataset:
        query, gallery = _extract(config, dataset, fused_splits(rows.values()), device)
    else:
        raise UserError("no data set folder; give --root DIR, or --features QUERY GALLERY")
    if not this_process().is_main_process:
        return [], []
    query, gallery = query.to(device), gallery.to(device)
    scores, written = score_rows(query, gallery, rows, protocol), []
    if config.page:
        written.append(_write_page(Path(config.page), config.title, dataset, query, gallery, scores))
    if config.save_features:
        save_centralized(Path(config.save_features), query, gallery, config.settings, protocol)
        written.append(Path(config.save_features))
    return scores, written


def save_centralized(
    folder: Path, query: FeatureSet, gallery: FeatureSet, settings: Centralization, protocol: Protocol
) -> None:
    """Write `query.npz` and `gallery.npz` with centralized `feats` (N, d) float32, `pids` and `camids` (N,) int64.

    Where the protocol has trials, they lie in `trial1/`, `trial2/` and so on. Query expansion and re-ranking, which
    need both sets, are not in them. `NFC.feature_import` reads them.
    """
    for number, trial in enumerate(trial_features(query, gallery, protocol), start=1):
        place = folder / f"trial{number}" if protocol.trials else folder
        for split, features in zip(("query", "gallery"), trial, strict=True):
            path = place / f"{split}.npz"
            arrays = {"feats": centralize(features, settings, split), "pids": features.pids, "camids": features.camids}
            if features.parts:
                arrays["parts"] = torch.tensor(features.parts)
            with replacing(path) as partial, partial.open("wb") as file:
                np.savez(file, **{name: tensor.cpu().numpy() for name, tensor in arrays.items()})


def _write_page(
    path: Path, title: str, dataset: Dataset, query: FeatureSet, gallery: FeatureSet, scores: Sequence[Scores]
) -> Path:
    """The page with the first row's rank lists against the last one's; a single row is held against no step at all."""
    first, last = scores[0], scores[-1]
    name, before = (first.name, first.settings) if len(scores) > 1 else ("no step", Centralization())
    compared = f"Before: {name}. After: {last.name}. AP: average precision in percent."
    if dataset.trials:
        compared += f" Trial 1 of {len(dataset.trials)}."
    lists = compare_rank_lists(dataset, query, gallery, before, last.settings)
    return write_score_page(path, title, scores, lists, compared)


def _possible_rows(
    rows: Mapping[str, Centralization], query: FeatureSet, gallery: FeatureSet
) -> Mapping[str, Centralization]:
    """The rows without those that need generated features which a user's files lack."""
    if query.generated is not None and gallery.generated is not None:
        return rows
    logger.warning("the feature files hold no generated features; the rows with IPG are left out")
    return {name: row for name, row in rows.items() if row.ipg is Side.none}


def _extract(
    config: EvaluateConfig, dataset: Dataset, fused: list[str], device: torch.device
) -> tuple[FeatureSet, FeatureSet]:
    """Raw features of the data set's pictures, from the network or from `features_dir`."""
    extractor = build_extractor(config.extractor, config.weights, config.preset, device)
    if config.keypoints:
        if "keypoints" not in extractor.inputs:
            raise UserError(f"extractor '{config.extractor}' takes no keypoints; leave them out, or use kpr")
        extractor.use_keypoints(config.keypoints)
    files = None
    if config.features_dir:
        network = describe_network(config.extractor, extractor, config.precision, config.flip)
        files = FeatureFolder(Path(config.features_dir), network)
    return extract_dataset(
        dataset,
        extractor,
        fused,
        poses=config.poses,
        missing=config.missing_generated,
        files=files,
        batch_size=config.batch_size,
        num_workers=config.num_workers,
        device=device,
        precision=config.precision,
        flip=config.flip,
    )
