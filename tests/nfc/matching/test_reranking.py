"""k-reciprocal re-ranking against a dense reference that follows the paper step by step."""

import numpy as np
import pytest
import torch

from NFC import k_reciprocal_rerank


def naive_rerank(query, gallery, k1, k2, lambda_value):
    points = np.concatenate([query, gallery]).astype(np.float64)
    count = len(points)
    distances = ((points[:, None] - points[None]) ** 2).sum(2)
    ranked = [sorted(range(count), key=lambda j, i=i: (j != i, distances[i, j], j)) for i in range(count)]
    scaled = distances / distances.max(axis=1, keepdims=True)

    def reciprocal(i, k):
        return {j for j in ranked[i][: k + 1] if i in ranked[j][: k + 1]}

    weights = np.zeros((count, count))
    for i in range(count):
        expanded = base = reciprocal(i, k1)
        for candidate in base:
            extra = reciprocal(candidate, round(k1 / 2))
            if len(extra & base) > 2 / 3 * len(extra):
                expanded = expanded | extra
        members = sorted(expanded)
        values = np.exp(-scaled[i, members])
        weights[i, members] = values / values.sum()
    weights = np.array([weights[ranked[i][:k2]].mean(axis=0) for i in range(count)])

    queries = len(query)
    result = np.empty((queries, count - queries))
    for i in range(queries):
        for j in range(queries, count):
            shared = np.minimum(weights[i], weights[j]).sum()
            jaccard = 1 - shared / (2 - shared)
            result[i, j - queries] = (1 - lambda_value) * jaccard + lambda_value * scaled[i, j]
    return result


@pytest.mark.parametrize(("k1", "k2"), [(20, 6), (6, 3), (5, 1), (1, 1), (100, 40)])
@pytest.mark.parametrize("lambda_value", [0, 0.3, 1])
def test_equals_naive(k1, k2, lambda_value):
    rng = np.random.default_rng(k1)
    centres = rng.standard_normal((8, 12))
    query = (centres[rng.integers(0, 8, 10)] + 0.4 * rng.standard_normal((10, 12))).astype(np.float32)
    gallery = (centres[rng.integers(0, 8, 50)] + 0.4 * rng.standard_normal((50, 12))).astype(np.float32)
    gallery[10:14] = gallery[10]
    result = k_reciprocal_rerank(query, gallery, k1, k2, lambda_value)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, naive_rerank(query, gallery, k1, k2, lambda_value), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(
        k_reciprocal_rerank(torch.from_numpy(query), torch.from_numpy(gallery), k1, k2, lambda_value).numpy(), result
    )


def test_one_query_and_one_gallery_item():
    assert k_reciprocal_rerank(torch.zeros(1, 2), torch.ones(1, 2)).shape == (1, 1)


def test_refuses():
    feats = torch.eye(3)
    for arguments, told in (
        ({"k1": 0}, "need k1, k2 >= 1 .*, got 0, 6"),
        ({"k2": 0}, "need k1, k2 >= 1 .*, got 20, 0"),
        ({"lambda_value": 1.5}, "0 <= lambda_value <= 1, got 20, 6, 1.5"),
        ({"gallery": torch.zeros(3, 2)}, "differ in size: 3 and 2"),
    ):
        with pytest.raises(ValueError, match=told):
            k_reciprocal_rerank(**({"query": feats, "gallery": feats} | arguments))
