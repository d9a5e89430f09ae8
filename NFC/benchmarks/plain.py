"""What the official code does, for nfc.py: the whole distance matrix, loops over samples in Python."""

import numpy as np
import torch
from torch import Tensor

K1, K2, RERANK_K1, RERANK_K2, RERANK_LAMBDA = 2, 2, 20, 6, 0.3


def plain_nfc(feats: Tensor, pids: Tensor, camids: Tensor, queries: int) -> dict[str, Tensor]:
    squares = feats.square().sum(1)
    distances = squares[:, None] + squares - 2 * feats @ feats.T
    distances.fill_diagonal_(torch.inf)
    neighbours = distances.topk(max(K1, K2), dim=1, largest=False).indices
    nearest, result = neighbours.tolist(), feats.clone()
    for i, candidates in enumerate(nearest):
        for j in candidates[:K1]:
            if i in nearest[j][:K2]:
                result[i] += feats[j]
    return {"rows": row_sums(result), "neighbours": neighbours}


def row_sums(feats: Tensor) -> Tensor:
    """(N,) float64: what is compared of centralized features, one random projection."""
    weights = torch.randn(feats.shape[1], generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return torch.cat([block.cpu().double() @ weights for block in feats.split(1_000)])


def plain_ranking(feats: Tensor, pids: Tensor, camids: Tensor, queries: int) -> dict[str, Tensor]:
    query, gallery = feats[:queries], feats[queries:]
    distances = query.square().sum(1)[:, None] + gallery.square().sum(1) - 2 * query @ gallery.T
    scores = rank_and_score(distances.numpy(), pids.numpy(), camids.numpy(), queries)
    return {"scores": torch.from_numpy(scores)}


def rank_and_score(distances: np.ndarray, pids: np.ndarray, camids: np.ndarray, queries: int) -> np.ndarray:
    """Sort everything, then the scores of one query after the other, each from its whole row, as is usual."""
    order = np.argsort(distances, axis=1)
    q_pids, g_pids, q_camids, g_camids = pids[:queries], pids[queries:], camids[:queries], camids[queries:]
    matches = (g_pids[order] == q_pids[:, None]).astype(np.int32)
    scores = []
    for i, row in enumerate(order):
        kept = ~((g_pids[row] == q_pids[i]) & (g_camids[row] == q_camids[i]))
        hits = matches[i][kept]
        if hits.any():
            found = hits.cumsum()
            curve = np.minimum(found, 1)[:50]
            precision = (found / np.arange(1.0, len(hits) + 1) * hits).sum() / hits.sum()
            last = np.flatnonzero(hits)[-1] + 1
            scores.append([precision, hits.sum() / last, *curve])
    return np.mean(scores, axis=0)


def plain_rerank(feats: Tensor, pids: Tensor, camids: Tensor, queries: int) -> dict[str, Tensor]:
    """The dense algorithm in the order of the code in common use: N x N matrices and loops over samples."""
    squares = feats.square().sum(1)
    distances = (squares[:, None] + squares - 2 * feats @ feats.T).clamp_(min=0).numpy()
    distances = np.transpose(distances / distances.max(axis=0))
    ranking = np.argsort(distances).astype(np.int32)
    weights = np.zeros_like(distances)
    for i in range(len(distances)):
        reciprocal = mutual(ranking, i, RERANK_K1)
        expanded = reciprocal
        for candidate in reciprocal:
            half = mutual(ranking, candidate, round(RERANK_K1 / 2))
            if len(np.intersect1d(half, reciprocal)) > 2 / 3 * len(half):
                expanded = np.append(expanded, half)
        expanded = np.unique(expanded)
        weight = np.exp(-distances[i, expanded])
        weights[i, expanded] = weight / weight.sum()
    weights = np.stack([weights[row[:RERANK_K2]].mean(axis=0) for row in ranking])
    holders = [np.flatnonzero(column) for column in weights.T]
    result = np.empty((queries, len(distances)), dtype=np.float32)
    for i in range(queries):
        shared = np.zeros(len(distances), dtype=np.float32)
        for column in np.flatnonzero(weights[i]):
            shared[holders[column]] += np.minimum(weights[i, column], weights[holders[column], column])
        result[i] = 1 - shared / (2 - shared)
    result = (1 - RERANK_LAMBDA) * result + RERANK_LAMBDA * distances[:queries]
    return {"distances": torch.from_numpy(result[:, queries:])}


def mutual(ranking: np.ndarray, i: int, k: int) -> np.ndarray:
    forward = ranking[i, : k + 1]
    return forward[(ranking[forward, : k + 1] == i).any(1)]
