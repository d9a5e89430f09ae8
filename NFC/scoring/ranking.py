"""CMC, mAP and mINP by the Market1501 rule, from features or from given distances."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from pose2id.arrays import Array, as_feature_pair, as_labels, as_tensor
from pose2id.errors import UserError

from ..datasets.rules import Exclude, same_camera
from ..matching.distances import Distances, EuclideanDistances
from ..neighbours.search import nearest_in_gallery
from .labels import Labels
from .rank_counter import Ranks
from .ranks import ranks_by_distances, ranks_by_features, row_blocks


class NoTrueMatch(UserError):
    """Nothing can be scored: no query has anybody of its own pid to find."""


@dataclass(frozen=True)
class RankingResult:
    """Scores in [0, 1]; per-query values keep the query's index and are NaN where a query has no true match."""

    mAP: float
    mINP: float
    cmc: np.ndarray  # (max_rank,) float64: share of valid queries with a true match among the first k
    average_precision: np.ndarray  # (Q,) float64
    inverse_negative_penalty: np.ndarray  # (Q,) float64: true matches / rank of the last one
    valid_queries: np.ndarray  # (Q,) bool


@torch.no_grad()
def evaluate_ranking(
    query: Array | None,
    gallery: Array | None,
    q_pids: object,
    g_pids: object,
    q_camids: object,
    g_camids: object,
    max_rank: int = 50,
    distances: Array | Distances | None = None,
    exclude: Exclude = same_camera,
    cmc: Literal["pictures", "identities"] = "pictures",
) -> RankingResult:
    """Rank the gallery for each query and score the ranks of the true matches.

    Gallery items that `exclude` names are dropped; a query without a true match is skipped; means are over valid
    queries. AP is plain (precision at each hit). Ties count against the query: the rank of the j-th true match
    is j + the number of kept wrong items at most as far. CMC keeps its last value beyond the end of a short gallery.
    Labels have no special values: junk (pid -1) is dropped by the data sets; left in, it counts as wrong.

    query: (Q, d), gallery: (G, d) floating, NumPy or torch, compared by squared Euclidean distance, summed
    directly in float64 (equal to cosine ranking for L2-normalised features); equal gallery rows tie exactly.
    distances: (Q, G), smaller is nearer, infinity allowed, an array or `NFC.matching.Distances`; replaces the features,
    which may then be None.
    pids, camids: (Q,) or (G,) integers. Only a block of the Q x G distances is in memory at a time.
    exclude: which gallery items do not exist for a query; by default those with its pid and camid.
    cmc: "pictures" ranks the first true match among pictures, "identities" among gallery identities, each counted
    once, where its nearest kept picture stands (SYSU-MM01); AP and the penalty are over pictures in both.
    Raises `UserError` (a ValueError) for shapes that differ, NaN, max_rank < 1, or when no query is valid.
    """
    if max_rank < 1:
        raise UserError(f"max_rank must be at least 1, got {max_rank}")
    if cmc not in ("pictures", "identities"):
        raise UserError(f"cmc must be 'pictures' or 'identities', got '{cmc}'")
    compared = _as_distances(query, gallery, distances)
    labels = _as_labels(compared, q_pids, g_pids, q_camids, g_camids, exclude)
    if isinstance(compared, EuclideanDistances):
        blocks = ranks_by_features(compared.query, compared.gallery, labels, identities=cmc == "identities")
    else:
        blocks = ranks_by_distances(compared, labels, identities=cmc == "identities")
    scores = torch.full((3, compared.shape[0]), torch.nan, dtype=torch.float64)
    for block in blocks:
        scores[:, block.rows.cpu()] = _score(block).cpu()
    precision, penalty, first = scores.numpy()

    valid = ~np.isnan(precision)
    if not valid.any():
        raise NoTrueMatch(
            "no query has a true match: every gallery item of a query's pid is missing or from the query's camera"
        )
    return RankingResult(
        mAP=float(precision[valid].mean()),
        mINP=float(penalty[valid].mean()),
        cmc=(first[valid, None] <= np.arange(1, max_rank + 1)).mean(0),
        average_precision=precision,
        inverse_negative_penalty=penalty,
        valid_queries=valid,
    )


@torch.no_grad()
def rank_gallery(
    query: Array | None,
    gallery: Array | None,
    q_pids: object,
    g_pids: object,
    q_camids: object,
    g_camids: object,
    k: int = 10,
    distances: Array | Distances | None = None,
    exclude: Exclude = same_camera,
) -> np.ndarray:
    """The rank list of each query: (Q, k) int64 gallery indices, nearest first, -1 where fewer remain.

    Arguments as in `evaluate_ranking`. Ties go to the lower index.
    Raises `UserError` (a ValueError) for shapes that differ, NaN, or k < 1.
    """
    if k < 1:
        raise UserError(f"k must be at least 1, got {k}")
    compared = _as_distances(query, gallery, distances)
    labels = _as_labels(compared, q_pids, g_pids, q_camids, g_camids, exclude)
    ranks = torch.full((compared.shape[0], k), -1, dtype=torch.int64)
    if isinstance(compared, EuclideanDistances):
        nearest, _ = nearest_in_gallery(compared.query, compared.gallery, k, labels.excluded)
        ranks[:, : nearest.shape[1]] = as_tensor(nearest, "ranks").cpu()
        return ranks.numpy()
    for rows in row_blocks(torch.arange(len(ranks)), compared.shape[1]):
        block = compared[rows.to(compared.device)].double()
        if block.isnan().any():
            raise UserError("distances hold NaN")
        excluded = labels.excluded(rows.to(block.device), slice(None))
        order = block.masked_fill(excluded, torch.nan).argsort(dim=1, stable=True)[:, :k]  # NaN goes last
        listed = torch.arange(order.shape[1], device=order.device) < (~excluded).sum(1, keepdim=True)
        ranks[rows, : order.shape[1]] = torch.where(listed, order, -1).cpu()
    return ranks.numpy()


def _as_distances(query: Array | None, gallery: Array | None, distances: Array | Distances | None) -> Distances:
    """What is ranked, checked."""
    if distances is None:
        if query is None or gallery is None:
            raise UserError("give query and gallery features, or distances=")
        return EuclideanDistances(*as_feature_pair(query, gallery))
    if not isinstance(distances, Array):
        return distances
    matrix = as_tensor(distances, "distances")
    if matrix.ndim != 2 or matrix.numel() == 0:
        raise UserError(f"distances must be a (Q, G) matrix and not empty, got shape {tuple(matrix.shape)}")
    return matrix


def _as_labels(
    compared: Distances, q_pids: object, g_pids: object, q_camids: object, g_camids: object, exclude: Exclude
) -> Labels:
    (queries, items), device = compared.shape, compared.device
    return Labels(
        q_pids=as_labels(q_pids, "q_pids", queries, device),
        g_pids=as_labels(g_pids, "g_pids", items, device),
        q_camids=as_labels(q_camids, "q_camids", queries, device),
        g_camids=as_labels(g_camids, "g_camids", items, device),
        exclude=exclude,
    )


def _score(block: Ranks) -> Tensor:
    """(3, B): average precision, inverse negative penalty, rank of the nearest true match; NaN without true matches."""
    hits = block.hits
    order = torch.arange(1, block.wrong_before.shape[1] + 1, device=hits.device)
    ranks = (block.wrong_before + order).double()
    precision = (order / ranks * (order <= hits[:, None])).sum(1) / hits  # 0 / 0 = NaN
    last = ranks.gather(1, (hits - 1).clamp(min=0)[:, None])[:, 0]
    none = torch.where(hits > 0, 0.0, torch.nan)
    return torch.stack([precision, hits / last + none, block.wrong_before_first + 1.0 + none])
