"""k-reciprocal re-ranking of distances that are given, against a dense reference in the authors' order of steps."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from NFC import dmli_distances, k_reciprocal_from_distances, k_reciprocal_rerank
from NFC.matching import KReciprocal, k_reciprocal
from pose2id.devices import AtOnce
from pose2id.errors import UserError
from tests.nfc.examples import example_set

QUERIES = 15


def naive(distances, k1, k2, lambda_value):
    """(N, N) -> (QUERIES, N - QUERIES). Nobody is put before others: not even a sample before its own neighbours."""
    scaled = distances / distances.max(1, keepdims=True)
    ranks = np.argsort(scaled, axis=1, kind="stable")
    weights = np.zeros_like(scaled)

    def mutual(i, k):
        return {j for j in ranks[i, : k + 1] if i in ranks[j, : k + 1]}

    for i in range(len(scaled)):
        members = base = mutual(i, k1)
        for candidate in base:
            more = mutual(candidate, round(k1 / 2))
            members = members | more if len(more & base) > 2 / 3 * len(more) else members
        if members:
            listed = sorted(members)
            values = np.exp(-scaled[i, listed])
            weights[i, listed] = values / values.sum()
    if k2 != 1:
        weights = np.stack([weights[row[:k2]].mean(0) for row in ranks])
    shared = np.minimum(weights[:QUERIES, None], weights[None, QUERIES:]).sum(-1)
    return (1 - lambda_value) * (1 - shared / (2 - shared)) + lambda_value * scaled[:QUERIES, QUERIES:]


def blocks(distances):
    return distances[:QUERIES, QUERIES:], distances[:QUERIES, :QUERIES], distances[QUERIES:, QUERIES:]


@pytest.mark.parametrize(("k1", "k2"), [(20, 6), (6, 3), (5, 1), (1, 1), (70, 60)])
@pytest.mark.parametrize("rows", [1, 7, 1000])
def test_equals_naive(k1, k2, rows, monkeypatch):
    monkeypatch.setattr(k_reciprocal, "BLOCK", AtOnce(50 * rows, 1))
    rng = np.random.default_rng(k1)
    points = rng.standard_normal((50, 3))
    distances = np.linalg.norm(points[:, None] - points, axis=-1)
    np.fill_diagonal(distances, rng.uniform(0, 3, 50))  # some are far from themselves
    result = k_reciprocal_from_distances(*blocks(distances), k1, k2, 0.3)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, naive(distances, k1, k2, 0.3), atol=1e-6)


def test_of_squared_euclidean_distances_it_is_the_re_ranking_of_vectors():
    points = np.random.default_rng(0).standard_normal((50, 6))
    squared = ((points[:, None] - points) ** 2).sum(-1)
    expected = k_reciprocal_rerank(points[:QUERIES], points[QUERIES:], 6, 3, 0.3)
    np.testing.assert_allclose(k_reciprocal_from_distances(*blocks(squared), 6, 3, 0.3), expected, atol=1e-6)


def test_stripes_are_re_ranked_by_global_and_local_distances():
    features = example_set("stripes", 50)
    features = replace(features, feats=features.feats.normalized())
    whole, stripes = features.feats.whole, features.feats.stripes
    distances = (torch.cdist(whole, whole).square() + dmli_distances(stripes, stripes)).double().numpy()
    result = KReciprocal(6, 3, 0.3).distances(features[torch.arange(QUERIES)], features[torch.arange(QUERIES, 50)])
    np.testing.assert_allclose(result.numpy(), naive(distances, 6, 3, 0.3), atol=1e-4)


def test_mistakes_are_one_line():
    across, queries, gallery = torch.rand(2, 3), torch.rand(2, 2), torch.rand(3, 3)
    assert k_reciprocal_from_distances(across, queries, gallery).shape == (2, 3)
    with pytest.raises(UserError, match=r"need distances \(2, 2\) and \(3, 3\), got \(3, 3\), \(2, 2\)"):
        k_reciprocal_from_distances(across, gallery, queries)
    with pytest.raises(UserError, match="k1, k2 >= 1"):
        k_reciprocal_from_distances(across, queries, gallery, k1=0)
