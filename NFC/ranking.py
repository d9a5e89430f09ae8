"""CMC, mAP and mINP by the Market1501 rule, from features or from given distances."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .arrays import Array, as_features, as_labels, as_tensor, unit_scale
from .errors import UserError

BLOCK_ELEMENTS = 2**22  # entries of one block of distances


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
    distances: Array | None = None,
) -> RankingResult:
    """Rank the gallery for each query and score the ranks of the true matches.

    Gallery items with the query's pid and camid are dropped; a query without a true match is skipped; means are over
    valid queries. AP is plain (precision at each hit). Ties count against the query: the rank of the j-th true match
    is j + the number of kept wrong items at most as far. CMC keeps its last value beyond the end of a short gallery.
    Labels have no special values: junk (pid -1) is dropped by the data sets; left in, it counts as wrong.

    query: (Q, d), gallery: (G, d) floating, NumPy or torch, compared by squared Euclidean distance in float64
    (equal to cosine ranking for L2-normalised features); equal gallery rows tie exactly.
    distances: (Q, G), smaller is nearer, infinity allowed; replaces the features, which may then be None.
    pids, camids: (Q,) or (G,) integers. Only a block of the Q x G distances is in memory at a time.
    Raises `UserError` (a ValueError) for shapes that differ, NaN, max_rank < 1, or when no query is valid.
    """
    if max_rank < 1:
        raise UserError(f"max_rank must be at least 1, got {max_rank}")
    blocks, shape, device = _feature_blocks(query, gallery) if distances is None else _given_blocks(distances)
    q_pid = as_labels(q_pids, "q_pids", shape[0], device)
    g_pid = as_labels(g_pids, "g_pids", shape[1], device)
    q_camid = as_labels(q_camids, "q_camids", shape[0], device)
    g_camid = as_labels(g_camids, "g_camids", shape[1], device)

    scores = []
    for rows, block in blocks:
        same_pid = q_pid[rows, None] == g_pid
        same_camid = q_camid[rows, None] == g_camid
        scores.append(_score_positives(block, positive=same_pid & ~same_camid, negative=~same_pid))
    precision, penalty, first = (torch.cat(parts).cpu().numpy() for parts in zip(*scores, strict=True))

    valid = ~np.isnan(precision)
    if not valid.any():
        raise UserError(
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


def _score_positives(distances: Tensor, positive: Tensor, negative: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """distances, positive, negative: (B, G) -> average precision, inverse negative penalty, first rank, each (B,).

    All three are NaN for a row without positives.
    """
    hits = positive.sum(1)
    rows, cols = positive.nonzero(as_tuple=True)
    slots = torch.arange(len(rows), device=rows.device) - (hits.cumsum(0) - hits)[rows]
    width = max(1, int(hits.max()))
    nearest = distances.new_full((len(distances), width), torch.inf)
    nearest[rows, slots] = distances[rows, cols]
    nearest = nearest.sort(1).values  # (B, width): the positives, padded at the end

    wrong = _sort_rows(distances.masked_fill(~negative, torch.inf))
    ahead = torch.searchsorted(wrong, nearest, right=True).minimum(negative.sum(1, keepdim=True))
    order = torch.arange(1, width + 1, device=rows.device)
    ranks = (ahead + order).double()
    real = order <= hits[:, None]
    precision = (order / ranks * real).sum(1) / hits  # 0 / 0 = NaN without positives
    last = ranks.gather(1, (hits - 1).clamp(min=0)[:, None])[:, 0]
    none = torch.where(hits > 0, 0.0, torch.nan)
    return precision, hits / last + none, ranks[:, 0] + none


def _sort_rows(values: Tensor) -> Tensor:
    """Values of each row in ascending order; NumPy's vectorised sort is the faster one on a CPU."""
    if values.device.type == "cpu":
        return torch.from_numpy(np.sort(values.numpy(), axis=1))
    return values.sort(1).values


Blocks = Iterator[tuple[slice, Tensor]]


def _row_blocks(shape: tuple[int, int]) -> Iterator[slice]:
    block = max(1, BLOCK_ELEMENTS // shape[1])
    return (slice(start, start + block) for start in range(0, shape[0], block))


def _feature_blocks(query: Array | None, gallery: Array | None) -> tuple[Blocks, tuple[int, int], torch.device]:
    """Blocks of squared distances between features, up to a common factor and a constant for each query."""
    if query is None or gallery is None:
        raise UserError("give query and gallery features, or distances=")
    a = as_features(query, "query")
    b = as_features(gallery, "gallery").to(a.device)
    if a.shape[1] != b.shape[1]:
        raise UserError(f"query and gallery features differ in size: {a.shape[1]} and {b.shape[1]}")
    scale = unit_scale(a, b)
    different, place = b.unique(dim=0, return_inverse=True)
    if len(different) == len(b):
        different, place = b, None  # no equal rows: keep the order and save a gather
    points = different.double() * scale
    squares = torch.einsum("gd,gd->g", points, points)  # no square roots: distances of whole numbers stay exact

    def blocks() -> Blocks:
        for rows in _row_blocks((len(a), len(b))):
            block = torch.addmm(squares, a[rows].double() * scale, points.T, alpha=-2)
            yield rows, block if place is None else block[:, place]

    return blocks(), (len(a), len(b)), a.device


def _given_blocks(distances: Array) -> tuple[Blocks, tuple[int, int], torch.device]:
    """Blocks of a user's (Q, G) distances, each checked for NaN as it is read."""
    matrix = as_tensor(distances, "distances")
    if matrix.ndim != 2 or matrix.numel() == 0:
        raise UserError(f"distances must be a (Q, G) matrix and not empty, got shape {tuple(matrix.shape)}")

    def blocks() -> Blocks:
        for rows in _row_blocks(tuple(matrix.shape)):
            block = matrix[rows].double()
            if block.isnan().any():
                raise UserError("distances hold NaN")
            yield rows, block

    return blocks(), tuple(matrix.shape), matrix.device
