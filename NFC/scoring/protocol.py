"""The evaluation from features to scores: centralize, expand, re-rank, rank, by the rules of a data set."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from math import isfinite

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from pose2id.errors import UserError

from ..datasets import Dataset, Trial
from ..datasets.rules import Exclude, same_camera
from ..features.feature_set import FeatureSet
from ..features.kinds.parts import ID2_parts, NFC_parts, PartFeatures, fuse_generated_parts, part_distances
from ..matching.affinity import affinity_distances
from ..matching.k_reciprocal import k_reciprocal_rerank
from ..steps.centralization import NFC, fuse_generated
from ..steps.query_expansion import expand_queries
from .identity_density import ID2
from .ranking import RankingResult, evaluate_ranking

SPLITS = ("query", "gallery")
CMC_RANKS = 50
FUSION_BLOCK = 4096  # samples whose generated features are normalised and fused at a time


class Side(Enum):
    """Which sets a step is applied to."""

    none = "none"
    gallery = "gallery"
    query = "query"
    both = "both"

    def covers(self, split: str) -> bool:
        return self is Side.both or self.value == split


@dataclass(frozen=True)
class Centralization:
    """What is done to features before ranking, in this order; features are L2-normalised before and after each step.

    1. `ipg`: add the features of generated pictures, weight `eta`, `reduction` sum or mean (Eq. 9).
    2. `nfc`: add the mutual nearest neighbours in the set itself, `k1` and `k2` (Algorithm 1; k2 may exceed k1).
    3. `expansion`: add to each query its so many nearest gallery features, weight similarity**`alpha`.
    4. `rerank`: replace distances by k-reciprocal ones, `rerank_k1`, `rerank_k2`, `rerank_lambda`; or `affinity`: by
       those of SAAI's affinity inference, with its authors' numbers for the benchmark.
    Equation and algorithm are those of Pose2ID, arXiv 2503.00938.
    """

    ipg: Side = Side.none
    nfc: Side = Side.none
    eta: float = 1.0
    reduction: str = "sum"
    k1: int = 2
    k2: int = 2
    expansion: int = 0
    alpha: float = 0.0
    rerank: bool = False
    rerank_k1: int = 20
    rerank_k2: int = 6
    rerank_lambda: float = 0.3
    affinity: bool = False

    def __post_init__(self) -> None:
        if self.reduction not in ("sum", "mean"):
            raise UserError(f"reduction must be sum or mean, got '{self.reduction}'")
        if not isfinite(self.eta):
            raise UserError(f"eta must be a finite number, got {self.eta}")
        if min(self.k1, self.k2) < 1:
            raise UserError(f"k1 and k2 must be at least 1, got {self.k1} and {self.k2}")
        if self.expansion < 0 or not 0 <= self.alpha < float("inf"):
            raise UserError(f"expansion and alpha must not be negative, got {self.expansion} and {self.alpha}")
        if min(self.rerank_k1, self.rerank_k2) < 1 or not 0 <= self.rerank_lambda <= 1:
            given = f"{self.rerank_k1}, {self.rerank_k2} and {self.rerank_lambda}"
            raise UserError(f"rerank_k1 and rerank_k2 must be at least 1, rerank_lambda in [0, 1]; got {given}")
        if self.rerank and self.affinity:
            raise UserError("rerank and affinity both replace the distances; give one of them")


# Rows of the paper's Table 2.
PAPER_ROWS: Mapping[str, tuple[Side, Side]] = {
    "Base": (Side.none, Side.none),
    "+NFC": (Side.none, Side.both),
    "+IPG": (Side.both, Side.none),
    "+NFC+IPG": (Side.both, Side.both),
}


@dataclass(frozen=True)
class Protocol:
    """The rules of a benchmark, fields as in `Dataset`; by default those of Market1501, all samples in one trial."""

    trials: Sequence[Trial] = ()
    exclude: Exclude = same_camera
    cmc: str = "pictures"
    distractors: frozenset[int] = frozenset()
    affinity: tuple[int, int] | None = None

    @classmethod
    def of(cls, dataset: Dataset) -> "Protocol":
        return cls(dataset.trials, dataset.exclude, dataset.cmc, dataset.distractors, dataset.affinity)

    def check(self, settings: Centralization) -> None:
        """Raise `UserError` for settings that these rules do not know."""
        if settings.affinity and self.affinity is None:
            raise UserError("affinity inference is defined for sysu_mm01 and regdb; leave out affinity")


MARKET1501 = Protocol()


@dataclass(frozen=True)
class Scores:
    """One row of a results table: a ranking and a density for each trial, and their means.

    A density is the mean ID2 of a trial's centralized query and gallery, distractors left out; neither expansion nor
    re-ranking changes it.
    """

    name: str
    settings: Centralization
    rankings: tuple[RankingResult, ...]
    densities: tuple[float, ...]

    @property
    def mAP(self) -> float:
        return float(np.mean(self._values("mAP")))

    @property
    def mINP(self) -> float:
        return float(np.mean(self._values("mINP")))

    @property
    def cmc(self) -> np.ndarray:
        """(max_rank,) float64: the mean curve."""
        return np.mean([ranking.cmc for ranking in self.rankings], axis=0)

    @property
    def id2(self) -> float:
        return float(np.mean(self.densities))

    def spread(self, metric: str) -> float:
        """Standard deviation over trials of mAP, mINP, id2 or rank-<k> (such as "rank-1"); 0.0 for one trial."""
        return float(np.std(self._values(metric)))

    def _values(self, metric: str) -> Sequence[float]:
        """`metric` of each trial."""
        if metric == "id2":
            return self.densities
        if metric.startswith("rank-"):
            return [ranking.cmc[int(metric.removeprefix("rank-")) - 1] for ranking in self.rankings]
        return [getattr(ranking, metric) for ranking in self.rankings]


def ablation_rows(settings: Centralization) -> dict[str, Centralization]:
    """The four rows Base, +NFC, +IPG, +NFC+IPG with the numbers (eta, k1, ...) of `settings`."""
    return {name: replace(settings, ipg=ipg, nfc=nfc) for name, (ipg, nfc) in PAPER_ROWS.items()}


def fused_splits(rows: Iterable[Centralization]) -> list[str]:
    """The splits ("query", "gallery") whose generated pictures some row uses."""
    rows = list(rows)
    return [split for split in SPLITS if any(row.ipg.covers(split) for row in rows)]


def score_rows(
    query: FeatureSet, gallery: FeatureSet, rows: Mapping[str, Centralization], protocol: Protocol = MARKET1501
) -> list[Scores]:
    """Score every row by the rules of `protocol`."""
    return [score(name, query, gallery, settings, protocol) for name, settings in rows.items()]


def score(
    name: str, query: FeatureSet, gallery: FeatureSet, settings: Centralization, protocol: Protocol = MARKET1501
) -> Scores:
    """Score one row. In each trial its own query and its own gallery are centralized, never both together.

    Raises `UserError` for features of different sizes, or if no query of a trial has a true match.
    """
    if query.feats.shape[1] != gallery.feats.shape[1]:
        sizes = f"{query.feats.shape[1]} and {gallery.feats.shape[1]}"
        raise UserError(f"query and gallery features differ in size, {sizes}; use those of one network")
    if query.parts and (settings.expansion or settings.rerank or settings.affinity):
        raise UserError("query expansion, re-ranking and affinity are not defined for part features; leave them out")
    protocol.check(settings)
    results = [_score_trial(q, g, settings, protocol) for q, g in trial_features(query, gallery, protocol)]
    rankings, densities = zip(*results, strict=True)
    return Scores(name, settings, rankings, densities)


def trial_features(
    query: FeatureSet, gallery: FeatureSet, protocol: Protocol
) -> Iterator[tuple[FeatureSet, FeatureSet]]:
    """Query and gallery of each trial."""
    if not protocol.trials:
        yield query, gallery
    for trial in protocol.trials:
        yield query[torch.as_tensor(list(trial.query))], gallery[torch.as_tensor(list(trial.gallery))]


def _score_trial(
    query: FeatureSet, gallery: FeatureSet, settings: Centralization, protocol: Protocol
) -> tuple[RankingResult, float]:
    """Ranking and mean identity density."""
    q, g = centralize(query, settings, "query"), centralize(gallery, settings, "gallery")
    pids = torch.cat([query.pids, gallery.pids])
    people = ~torch.isin(pids, pids.new_tensor(sorted(protocol.distractors)))
    density = _densities(torch.cat([q, g])[people], pids[people], query.parts).mean().item()
    q, distances = compare(q, g, query.parts, settings, protocol)
    ranking = evaluate_ranking(
        q,
        g,
        query.pids,
        gallery.pids,
        query.camids,
        gallery.camids,
        max_rank=CMC_RANKS,
        distances=distances,
        exclude=protocol.exclude,
        cmc=protocol.cmc,
    )
    return ranking, density


def compare(
    query: Tensor, gallery: Tensor, parts: int, settings: Centralization, protocol: Protocol
) -> tuple[Tensor, Tensor | None]:
    """What is ranked after centralization: the query features (Q, d), expanded where wanted, and distances (Q, G).

    query (Q, d), gallery (G, d): centralized. parts: see `FeatureSet`. The distances are None where those between the
    features are meant: without body parts, re-ranking and affinity inference.
    """
    if settings.expansion:
        query = normalize(expand_queries(query, gallery, settings.expansion, settings.alpha), dim=1)
    if settings.rerank:
        numbers = settings.rerank_k1, settings.rerank_k2, settings.rerank_lambda
        return query, k_reciprocal_rerank(query, gallery, *numbers)
    if settings.affinity:
        return query, affinity_distances(query, gallery, *protocol.affinity)
    if parts:
        return query, part_distances(PartFeatures.unflatten(query, parts), PartFeatures.unflatten(gallery, parts))
    return query, None


def _densities(feats: Tensor, pids: Tensor, parts: int) -> Tensor:
    return ID2_parts(PartFeatures.unflatten(feats, parts), pids) if parts else ID2(feats, pids)


def centralize(features: FeatureSet, settings: Centralization, split: str) -> Tensor:
    """normalise -> (fuse -> normalise) -> (NFC -> normalise): (N, d), as in Pose2ID, arXiv 2503.00938.

    Generated features are normalised before they are fused. Part features are centralized part by part.
    """
    if settings.ipg.covers(split) and features.generated is None:
        raise UserError(f"ipg={settings.ipg.value} needs generated features of the {split}; there are none")
    if features.parts:
        return _centralize_parts(features, settings, split).flatten()
    feats = normalize(features.feats, dim=1)
    if settings.ipg.covers(split):
        blocks = zip(feats.split(FUSION_BLOCK), features.generated.split(FUSION_BLOCK), strict=True)
        fused = [fuse_generated(f, normalize(g, dim=2), settings.eta, settings.reduction) for f, g in blocks]
        feats = normalize(torch.cat(fused), dim=1)
    if settings.nfc.covers(split):
        feats = normalize(NFC(feats, settings.k1, settings.k2), dim=1)
    return feats


def _centralize_parts(features: FeatureSet, settings: Centralization, split: str) -> PartFeatures:
    feats = PartFeatures.unflatten(features.feats, features.parts).normalized()
    if settings.ipg.covers(split):
        extra = PartFeatures.unflatten(features.generated, features.parts).normalized()
        feats = fuse_generated_parts(feats, extra, settings.eta, settings.reduction).normalized()
    if settings.nfc.covers(split):
        feats = NFC_parts(feats, settings.k1, settings.k2).normalized()
    return feats
