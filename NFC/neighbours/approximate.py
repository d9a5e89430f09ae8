"""Approximate nearest neighbours, for millions of features, with the optional package faiss."""

import numpy as np
import torch
from torch import Tensor

from pose2id.errors import UserError

LINKS = 32  # of a node of the search graph


def approximate_neighbours(points: Tensor, k: int) -> Tensor:
    """(N, d) -> (N, K) int64: other rows that are very probably the k nearest, nearest first; -1 where fewer are found.

    K = min(k, N - 1). Computed in float32 on the CPU, in time that grows as N log N.
    Source: Malkov and Yashunin, "Efficient and robust approximate nearest neighbor search", TPAMI 2020.
    """
    try:
        import faiss
    except ImportError as error:
        raise UserError("approximate search needs the package faiss-cpu; install it or search exactly") from error
    feats = np.ascontiguousarray(points.float().cpu().numpy())
    index = faiss.IndexHNSWFlat(feats.shape[1], LINKS)
    index.add(feats)
    k = min(k, len(feats) - 1)
    _, found = index.search(feats, k + 1)
    itself = found == np.arange(len(feats))[:, None]
    order = np.argsort(itself, axis=1, kind="stable")[:, :k]  # a row itself goes last, wherever it was found
    return torch.from_numpy(np.take_along_axis(found, order, axis=1)).to(points.device, torch.int64)
