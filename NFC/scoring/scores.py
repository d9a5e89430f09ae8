"""One row of a results table: the scores of a chain, and how they come about."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from pose2id.errors import UserError

from ..chain import Chain
from ..features.feature_set import FeatureSet
from .identity_density import ID2
from .protocol import MARKET1501, Protocol
from .ranking import RankingResult, evaluate_ranking

CMC_RANKS = 50


@dataclass(frozen=True)
class Scores:
    """A ranking and a density for each trial, and their means.

    A density is the mean ID2 of a trial's centralized query and gallery, of unit length, distractors left out; neither
    expansion nor the matcher changes it.
    """

    name: str
    chain: Chain
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
    rankings, densities = zip(*results, strict=True)
    return Scores(name, chain, rankings, densities)


def _score_trial(
    query: FeatureSet, gallery: FeatureSet, chain: Chain, protocol: Protocol
) -> tuple[RankingResult, float]:
    """Ranking and mean identity density."""
    query, gallery = chain.centralize(query, "query"), chain.centralize(gallery, "gallery")
    pids = torch.cat([query.pids, gallery.pids])
    people = protocol.people(pids)
    feats = type(query.feats).cat([query.feats, gallery.feats])
    feats = feats.normalized() if chain.raw else feats
    density = ID2(feats[people], pids[people]).mean().item()
    query, gallery = chain.expand(query, gallery)
    ranking = evaluate_ranking(
        None,
        None,
        query.pids,
        gallery.pids,
        query.camids,
        gallery.camids,
        max_rank=CMC_RANKS,
        distances=chain.match(query, gallery),
        exclude=protocol.exclude,
        cmc=protocol.cmc,
    )
    return ranking, density
