"""The evaluation from data set to scores: extract, centralize, rank."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from .centralization import NFC, fuse_generated
from .datasets import Dataset, Record, generated_paths
from .errors import UserError
from .features import extract_features
from .identity_density import ID2
from .ranking import RankingResult, evaluate_ranking

CMC_RANKS = 50


class Side(Enum):
    """Which sets a step is applied to."""

    none = "none"
    gallery = "gallery"
    query = "query"
    both = "both"

    def covers(self, split: str) -> bool:
        return self is Side.both or self.value == split


class MissingGenerated(Enum):
    """What to do when a generated picture is not on disk; a distractor always stands in for itself."""

    error = "error"
    original = "original"


@dataclass(frozen=True)
class Centralization:
    """What is done to features before ranking. Pose2ID, arXiv 2503.00938: `ipg` is Eq. 9, `nfc` Algorithm 1."""

    ipg: Side = Side.none
    nfc: Side = Side.none
    eta: float = 1.0
    reduction: str = "sum"
    k1: int = 2
    k2: int = 2

    def __post_init__(self) -> None:
        if self.reduction not in ("sum", "mean"):
            raise UserError(f"reduction must be sum or mean, got '{self.reduction}'")
        if min(self.k1, self.k2) < 1:
            raise UserError(f"k1 and k2 must be at least 1, got {self.k1} and {self.k2}")


# Rows of the paper's Table 2.
PAPER_ROWS: Mapping[str, tuple[Side, Side]] = {
    "Base": (Side.none, Side.none),
    "+NFC": (Side.none, Side.both),
    "+IPG": (Side.both, Side.none),
    "+NFC+IPG": (Side.both, Side.both),
}


@dataclass(frozen=True)
class FeatureSet:
    """Raw features of a split. feats (N, d) float32, pids and camids (N,) int64, generated (N, M, d) if extracted."""

    feats: Tensor
    pids: Tensor
    camids: Tensor
    generated: Tensor | None = None


@dataclass(frozen=True)
class Scores:
    """One row of a results table. `id2` is the mean density over query and gallery, distractors left out."""

    name: str
    settings: Centralization
    ranking: RankingResult
    id2: float


def ablation_rows(settings: Centralization) -> dict[str, Centralization]:
    """The four rows Base, +NFC, +IPG, +NFC+IPG with the numbers (eta, k1, ...) of `settings`."""
    return {name: replace(settings, ipg=ipg, nfc=nfc) for name, (ipg, nfc) in PAPER_ROWS.items()}


def evaluate_rows(
    dataset: Dataset,
    extractor: nn.Module,
    rows: Mapping[str, Centralization],
    poses: int = 8,
    missing: MissingGenerated = MissingGenerated.error,
    **loading,
) -> list[Scores]:
    """Score every row on `dataset`; each picture goes through the network once.

    poses: generated pictures used per original, if a row asks for them. loading: see `extract_features`.
    Raises `UserError` for a missing generated picture or an unreadable one.
    """
    if poses < 1:
        raise UserError(f"poses must be at least 1, got {poses}")
    splits = {}
    for split, records in (("query", dataset.query), ("gallery", dataset.gallery)):
        fused = any(row.ipg.covers(split) for row in rows.values())
        pictures = _find_generated(records, poses, missing, dataset.distractors) if fused else None
        splits[split] = _extract_split(extractor, records, pictures, description=split, **loading)
    return [score(name, splits["query"], splits["gallery"], row, dataset.distractors) for name, row in rows.items()]


def score(
    name: str, query: FeatureSet, gallery: FeatureSet, settings: Centralization, distractors: Iterable[int] = ()
) -> Scores:
    """Centralize both sets, each on its own, and rank."""
    q, g = centralize(query, settings, "query"), centralize(gallery, settings, "gallery")
    ranking = evaluate_ranking(q, g, query.pids, gallery.pids, query.camids, gallery.camids, max_rank=CMC_RANKS)
    pids = torch.cat([query.pids, gallery.pids])
    people = ~torch.isin(pids, torch.tensor(list(distractors), dtype=torch.int64))
    density = ID2(torch.cat([q, g])[people], pids[people]).mean().item()
    return Scores(name, settings, ranking, density)


def centralize(features: FeatureSet, settings: Centralization, split: str) -> Tensor:
    """normalise -> (fuse -> normalise) -> (NFC -> normalise): (N, d), as in Pose2ID, arXiv 2503.00938.

    Generated features are normalised before they are fused.
    """
    feats = normalize(features.feats, dim=1)
    if settings.ipg.covers(split):
        if features.generated is None:
            raise UserError(f"ipg={settings.ipg.value} needs generated features of the {split}; none were extracted")
        extra = normalize(features.generated, dim=2)
        feats = normalize(fuse_generated(feats, extra, settings.eta, settings.reduction), dim=1)
    if settings.nfc.covers(split):
        feats = normalize(NFC(feats, settings.k1, settings.k2), dim=1)
    return feats


def _extract_split(
    extractor: nn.Module, records: Sequence[Record], pictures: list[list[Path]] | None, **loading
) -> FeatureSet:
    """Originals and generated pictures in one pass; a picture that occurs twice is read once."""
    groups = [[r.path, *(pictures[i] if pictures else [])] for i, r in enumerate(records)]
    place = {path: i for i, path in enumerate(dict.fromkeys(path for group in groups for path in group))}
    unique = extract_features(extractor, list(place), **loading)
    feats = unique[torch.tensor([[place[path] for path in group] for group in groups])]  # (N, 1 + M, d)
    return FeatureSet(
        feats=feats[:, 0],
        pids=torch.tensor([r.pid for r in records]),
        camids=torch.tensor([r.camid for r in records]),
        generated=feats[:, 1:] if pictures else None,
    )


def _find_generated(
    records: Sequence[Record], poses: int, missing: MissingGenerated, distractors: frozenset[int]
) -> list[list[Path]]:
    """The generated pictures (N, poses) of `records`; where allowed, the original stands in for a missing one."""

    def find(record: Record, path: Path) -> Path:
        if path.is_file():
            return path
        if missing is MissingGenerated.original or record.pid in distractors:
            return record.path
        raise UserError(f"generated picture {path} is missing; generate it first, or use --missing_generated original")

    return [[find(record, path) for path in generated_paths(record, poses)] for record in records]
