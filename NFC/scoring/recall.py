"""How much a shortlist leaves out: a costly matcher never compares what is not in it, so mAP depends on it."""

from dataclasses import dataclass

import torch
from torch import Tensor

from .labels import Labels
from .ranks import row_blocks


@dataclass(frozen=True)
class Recall:
    """The share of all true matches that are in the shortlist of their query, which holds `k` pictures."""

    share: float
    k: int


def shortlist_recall(candidates: Tensor, labels: Labels) -> Recall:
    """candidates: (Q, K) int64 gallery indices of each query. What does not exist for a query is no true match of it.

    The share is NaN where there are no true matches.
    """
    candidates = candidates.to(labels.q_pids.device)
    found = total = 0
    for rows in row_blocks(torch.arange(len(candidates), device=candidates.device), len(labels.g_pids)):
        true, _ = labels.true_and_wrong(rows)
        found += int(torch.count_nonzero(true.gather(1, candidates[rows])))
        total += int(torch.count_nonzero(true))
    return Recall(found / total if total else float("nan"), candidates.shape[1])
