"""One row of a results table: the scores of a chain, and how they come about."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from pose2id.errors import UserError

from ..chain import Chain
from ..features.feature_set import FeatureSet
from ..matching import Distances
from ..matching.shortlist import RescoredDistances
from .identity_density import ID2
from .labels import Labels
from .protocol import MARKET1501, Protocol
from .ranking import RankingResult, evaluate_ranking
from .recall import Recall, shortlist_recall

CMC_RANKS = 50


@dataclass(frozen=True)
class Scores:
    """A ranking and a density for each trial, and their means.

    A density is the mean ID2 of a trial's centralized query and gallery, of unit length, distractors left out; neither
    expansion nor the matcher changes it. recalls: of each trial, where the matcher compares a shortlist alone.
    """

    name: str
    chain: Chain
    rankings: tuple[RankingResult, ...]
    densities: tuple[float, ...]
    recalls: tuple[Recall, ...] = ()

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

    @property
    def recall(self) -> Recall | None:
        """The mean share, at the longest shortlist of a trial; trials with shorter ones compare their whole gallery."""
        if not self.recalls:
            return None
        return Recall(float(np.mean(self._values("recall"))), max(recall.k for recall in self.recalls))

    def spread(self, metric: str) -> float:
        """Standard deviation over trials of mAP, mINP, id2, recall or rank-<k> ("rank-1"); 0.0 for one trial."""
        return float(np.std(self._values(metric)))

    def _values(self, metric: str) -> Sequence[float]:
        """`metric` of each trial."""
        if metric == "id2":
            return self.densities
        if metric == "recall":
            return [recall.share for recall in self.recalls]
        if metric.startswith("rank-"):
            return [ranking.cmc[int(metric.removeprefix("rank-")) - 1] for ranking in self.rankings]
        return [getattr(ranking, metric) for ranking in self.rankings]


def score_rows(
    query: FeatureSet, gallery: FeatureSet, rows: Mapping[str, Chain], protocol: Protocol = MARKET1501
) -> list[Scores]:
    """Score every row by the rules of `protocol`."""
    return [score(name, query, gallery, chain, protocol) for name, chain in rows.items()]


def score(name: str, query: FeatureSet, gallery: FeatureSet, chain: Chain, protocol: Protocol = MARKET1501) -> Scores:
    """Score one row. In each trial its own query and its own gallery are centralized, never both together.

    Raises `UserError` for features of different sizes or kinds, for a chain that is not defined for them, and if no
    query of a trial has a true match.
    """
    sizes = [features.feats.size for features in (query, gallery)]
    if sizes[0] != sizes[1]:
        both = f"{sizes[0]} and {sizes[1]}"
        raise UserError(f"query and gallery features differ in size, {both}; use those of one network")
    results = [_score_trial(q, g, chain, protocol) for q, g in protocol.split(query, gallery)]
    rankings, densities, recalls = zip(*results, strict=True)
    return Scores(name, chain, rankings, densities, tuple(filter(None, recalls)))


def _score_trial(
    query: FeatureSet, gallery: FeatureSet, chain: Chain, protocol: Protocol
) -> tuple[RankingResult, float, Recall | None]:
    """Ranking, mean identity density, and recall of a shortlist where there is one."""
    query, gallery = chain.centralize(query, "query"), chain.centralize(gallery, "gallery")
    pids = torch.cat([query.pids, gallery.pids])
    people = protocol.people(pids)
    feats = type(query.feats).cat([query.feats, gallery.feats])
    feats = feats.normalized() if chain.raw else feats
    density = ID2(feats[people], pids[people]).mean().item()
    query, gallery = chain.expand(query, gallery)
    distances = chain.match(query, gallery)
    ranking = evaluate_ranking(
        None,
        None,
        query.pids,
        gallery.pids,
        query.camids,
        gallery.camids,
        max_rank=CMC_RANKS,
        distances=distances,
        exclude=protocol.exclude,
        cmc=protocol.cmc,
    )
    return ranking, density, _recall(distances, query, gallery, protocol)


def _recall(distances: Distances, query: FeatureSet, gallery: FeatureSet, protocol: Protocol) -> Recall | None:
    if not isinstance(distances, RescoredDistances):
        return None
    labels = Labels(query.pids, query.camids, gallery.pids, gallery.camids, protocol.exclude)
    return shortlist_recall(distances.candidates, labels)
