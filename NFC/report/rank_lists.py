"""Which gallery pictures a query found first, before and after centralization, and whose ranking changed most."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..chain import Chain
from ..datasets import Dataset, Record
from ..features.feature_set import FeatureSet
from ..scoring.protocol import Protocol
from ..scoring.ranking import evaluate_ranking, rank_gallery
from ..steps import SPLITS

Splits = tuple[FeatureSet, FeatureSet]  # query and gallery


@dataclass(frozen=True)
class Hit:
    """A retrieved picture and whether it shows the query's person."""

    path: Path
    correct: bool


@dataclass(frozen=True)
class RankList:
    """A query with its nearest gallery pictures and average precision, before and after."""

    query: Path
    before: Sequence[Hit]
    after: Sequence[Hit]
    precision_before: float
    precision_after: float

    @property
    def gain(self) -> float:
        return self.precision_after - self.precision_before


def compare_rank_lists(
    dataset: Dataset,
    query: FeatureSet,
    gallery: FeatureSet,
    before: Chain,
    after: Chain,
    count: int = 5,
    k: int = 10,
) -> dict[str, list[RankList]]:
    """The `count` queries that gained and that lost most average precision, with their k nearest pictures.

    query, gallery: raw features of the data set's records. Of a protocol with several trials, the first is shown.
    """
    protocol = Protocol.of(dataset)
    splits = next(protocol.split(query, gallery))
    nearest, precision = zip(*(_rank(splits, chain, protocol, k) for chain in (before, after)), strict=True)
    queries, pictures = dataset.query, dataset.gallery
    if dataset.trials:
        trial = dataset.trials[0]
        queries, pictures = [queries[i] for i in trial.query], [pictures[i] for i in trial.gallery]
    gained, lost = changed_most(precision, count)
    return {
        heading: [rank_list(queries, pictures, index, nearest, precision) for index in indices]
        for heading, indices in (("Gained most", gained), ("Lost most", lost))
    }


def rank_list(
    query: Sequence[Record],
    gallery: Sequence[Record],
    index: int,
    nearest: tuple[np.ndarray, np.ndarray],
    precision: tuple[np.ndarray, np.ndarray],
) -> RankList:
    """The list of query `index`. nearest: (Q, k) gallery indices before and after, nearest first, -1 for none, as
    `rank_gallery` returns them; precision: (Q,) average precision before and after."""
    pid = query[index].pid
    before, after = ([Hit(gallery[i].path, gallery[i].pid == pid) for i in found[index] if i >= 0] for found in nearest)
    return RankList(query[index].path, before, after, *(float(values[index]) for values in precision))


def changed_most(precision: tuple[np.ndarray, np.ndarray], count: int = 5) -> tuple[list[int], list[int]]:
    """Indices of the `count` queries that gained and that lost most average precision, the largest change first.

    precision: (Q,) before and after, NaN for a query without a true match. A query that did not gain is not among
    the winners, one that did not lose is not among the losers; equal changes keep the order of the queries.
    """
    before, after = (np.asarray(values) for values in precision)
    gain = np.nan_to_num(after - before)
    order = np.argsort(-gain, kind="stable")
    gained = [int(i) for i in order[:count] if gain[i] > 0]
    lost = [int(i) for i in np.argsort(gain, kind="stable")[:count] if gain[i] < 0]
    return gained, lost


def _rank(splits: Splits, chain: Chain, protocol: Protocol, k: int) -> tuple[np.ndarray, np.ndarray]:
    """(Q, k) nearest gallery indices and (Q,) average precision."""
    query, gallery = (chain.centralize(features, split) for features, split in zip(splits, SPLITS, strict=True))
    query, gallery = chain.expand(query, gallery)
    distances = chain.match(query, gallery)
    labels = query.pids, gallery.pids, query.camids, gallery.camids
    nearest = rank_gallery(None, None, *labels, k=k, distances=distances, exclude=protocol.exclude)
    ranking = evaluate_ranking(None, None, *labels, distances=distances, exclude=protocol.exclude)
    return nearest, ranking.average_precision
