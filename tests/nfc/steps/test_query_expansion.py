"""Query expansion against a loop."""

import numpy as np
import pytest
import torch

from NFC import expand_queries


def naive_expansion(query, gallery, k, alpha):
    result = []
    for q in query.astype(np.float64):
        order = np.argsort(((gallery - q) ** 2).sum(1), kind="stable")[:k]
        weights = [max(0.0, q @ g / np.linalg.norm(q) / np.linalg.norm(g)) ** alpha for g in gallery[order]]
        result.append((q + sum(w * g for w, g in zip(weights, gallery[order], strict=True))) / (1 + sum(weights)))
    return np.array(result)


@pytest.mark.parametrize("k", [1, 3, 100])
@pytest.mark.parametrize("alpha", [0.0, 1.0, 3.0])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_equals_naive(k, alpha, dtype):
    rng = np.random.default_rng(k)
    query, gallery = rng.standard_normal((7, 5)).astype(dtype), rng.standard_normal((20, 5)).astype(dtype)
    expected = naive_expansion(query.astype(np.float64), gallery.astype(np.float64), k, alpha)
    result = expand_queries(query, gallery, k, alpha)
    assert result.dtype == dtype
    np.testing.assert_allclose(result, expected, rtol=1e-2 if dtype == np.float16 else 1e-5, atol=1e-3)
    tensors = expand_queries(torch.from_numpy(query), torch.from_numpy(gallery), k, alpha)
    np.testing.assert_array_equal(tensors.numpy(), result)


def test_known_values():
    query, gallery = torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 1.0], [-9.0, 0.0], [2.0, 0.0]])
    assert expand_queries(query, gallery, 2).tolist() == [pytest.approx([4 / 3, 1 / 3])]
    weight = 0.5**0.5
    expected = [(3 + weight) / (2 + weight), weight / (2 + weight)]
    assert expand_queries(query, gallery, 2, alpha=1.0).tolist() == [pytest.approx(expected)]


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"k": 0}, "k must be at least 1"),
        ({"alpha": -1.0}, "alpha must be at least 0"),
        ({"alpha": float("nan")}, "alpha must be .* finite, got nan"),
        ({"gallery": torch.zeros(2, 3)}, "differ in size: 2 and 3"),
        ({"query": torch.zeros(0, 2)}, "query is empty"),
    ],
    ids=str,
)
def test_refuses(changed, told):
    arguments = {"query": torch.ones(1, 2), "gallery": torch.ones(2, 2), "k": 1}
    with pytest.raises(ValueError, match=told):
        expand_queries(**(arguments | changed))
