"""ID2 against a naive reference."""

import numpy as np
import pytest
import torch

from NFC import ID2


def naive_id2(feats: np.ndarray, pids: list[int]) -> np.ndarray:
    feats = feats.astype(np.float64)
    unit = np.array([f / np.linalg.norm(f) if f.any() else f for f in feats])
    centres = {pid: np.mean([u for u, p in zip(unit, pids, strict=True) if p == pid], axis=0) for pid in pids}
    return np.array([((u - centres[p]) ** 2).sum() for u, p in zip(unit, pids, strict=True)])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_equals_naive(dtype):
    rng = np.random.default_rng(0)
    feats = (5 * rng.standard_normal((40, 8))).astype(dtype)
    feats[[3, 9]] = 0
    feats[20:24] = feats[20]
    pids = rng.integers(-1, 6, 40).tolist()
    result = ID2(feats, pids)
    assert result.dtype == (np.float64 if dtype == np.float64 else np.float32)
    np.testing.assert_allclose(result, naive_id2(feats, pids), rtol=1e-4, atol=1e-6)


def test_known_values():
    feats = torch.tensor([[2.0, 0.0], [0.0, 3.0], [5.0, 5.0], [0.0, 0.0]])
    assert ID2(feats, torch.tensor([7, 7, 1, 2])).tolist() == pytest.approx([0.5, 0.5, 0.0, 0.0])
    assert ID2(feats.T[:, :2].T, np.array([7, 7])).tolist() == pytest.approx([0.5, 0.5])


def test_import_of_the_papers_code():
    from ID2 import ID2 as exported

    assert exported is ID2


@pytest.mark.parametrize(
    ("feats", "pids", "told"),
    [
        (torch.zeros(3, 2), [0, 1], r"pids must have shape \(3,\), got \(2,\)"),
        (torch.zeros(3, 2), [0.5, 1.0, 2.0], "pids must be integers"),
        (torch.zeros(3, 2), [[0], [1], [2]], r"pids must have shape \(3,\), got \(3, 1\)"),
        (torch.zeros(0, 2), [], "feats is empty"),
        (torch.full((2, 2), torch.nan), [0, 1], "feats holds NaN"),
        (torch.zeros(2), [0, 1], "feats must have 2 axes"),
    ],
)
def test_refuses(feats, pids, told):
    with pytest.raises(ValueError, match=told):
        ID2(feats, pids)
