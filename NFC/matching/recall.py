"""How much a shortlist leaves out."""

import torch
from torch import Tensor

from ..features.feature_set import FeatureSet


def shortlist_recall(query: FeatureSet, gallery: FeatureSet, candidates: Tensor) -> float | None:
    """The share of the queries' true matches that are among their candidates (Q, K) int64; None without any.

    True matches show the query's person, by another camera where cameras are known.
    """
    if query.pids is None or gallery.pids is None:
        return None
    found = total = 0
    for row, listed in enumerate(candidates):
        true = gallery.pids == query.pids[row]
        if query.camids is not None and gallery.camids is not None:
            true &= gallery.camids != query.camids[row]
        found += int(true[listed].sum())
        total += int(torch.count_nonzero(true))
    return found / total if total else None
