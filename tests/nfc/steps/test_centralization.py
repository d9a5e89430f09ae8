"""NFC and fuse_generated against naive references."""

import numpy as np
import pytest
import torch

from NFC import NFC, fuse_generated


def naive_neighbours(feats: np.ndarray, k: int) -> list[list[int]]:
    feats = feats.astype(np.float64)
    result = []
    for i in range(len(feats)):
        ranked = sorted((float(((feats[i] - feats[j]) ** 2).sum()), j) for j in range(len(feats)) if j != i)
        result.append([j for _, j in ranked[:k]])
    return result


def naive_nfc(feats: np.ndarray, k1: int, k2: int) -> np.ndarray:
    near1, near2 = naive_neighbours(feats, k1), naive_neighbours(feats, k2)
    result = feats.astype(np.float64)
    for i, neighbours in enumerate(near1):
        for j in neighbours:
            if i in near2[j]:
                result[i] += feats[j]
    return result


def grid(rows: int, dim: int, seed: int = 0) -> np.ndarray:
    """Small integers: many exact ties and duplicates, and zero rows."""
    feats = np.random.default_rng(seed).integers(-1, 2, (rows, dim)).astype(np.float32)
    feats[:: max(1, rows // 4)] = 0
    return feats


def gaussian(rows: int, dim: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, dim)).astype(np.float32)


CASES = {
    "random": gaussian(60, 16),
    "ties": grid(50, 3),
    "duplicates": np.repeat(gaussian(9, 7), 5, axis=0),
    "all equal": np.ones((20, 4), np.float32),
    "zeros": np.zeros((7, 3), np.float32),
    "one sample": gaussian(1, 5),
    "two samples": gaussian(2, 5),
    "fewer than k": gaussian(4, 5),
    "far from origin": gaussian(40, 8) + 1000,
    "huge": gaussian(30, 8) * np.float32(1e25),
    "tiny": gaussian(30, 8) * np.float32(1e-25),
    "one huge": np.concatenate([gaussian(30, 8), np.full((1, 8), 1e18, np.float32)]),
    "near duplicates": np.repeat(gaussian(6, 64), 6, axis=0) + 1e-6 * gaussian(36, 64, seed=1),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(("k1", "k2"), [(2, 2), (1, 3), (4, 1), (3, 50)])
def test_nfc_equals_naive(name, k1, k2):
    feats = CASES[name]
    kept = feats.copy()
    result = NFC(feats, k1, k2)
    expected = naive_nfc(feats, k1, k2)
    assert isinstance(result, np.ndarray)
    assert result.dtype == feats.dtype
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-6 * np.abs(expected).max())
    np.testing.assert_array_equal(feats, kept)


@pytest.mark.parametrize("seed", range(30))
def test_nfc_on_random_grids(seed):
    rng = np.random.default_rng(seed)
    feats = grid(int(rng.integers(1, 30)), int(rng.integers(1, 5)), seed)
    k1, k2 = (int(k) for k in rng.integers(1, 6, 2))
    np.testing.assert_array_equal(NFC(feats, k1, k2), naive_nfc(feats, k1, k2))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_nfc_keeps_dtype(dtype):
    feats = torch.from_numpy(gaussian(40, 6)).to(dtype)
    result = NFC(feats)
    assert result.dtype == dtype
    expected = torch.from_numpy(naive_nfc(feats.double().numpy(), 2, 2)).to(dtype)
    torch.testing.assert_close(result, expected)


def test_nfc_on_views_and_read_only_arrays():
    feats = gaussian(12, 80)
    expected = naive_nfc(feats[::-1, ::4], 2, 2)
    np.testing.assert_allclose(NFC(feats[::-1, ::4]), expected, rtol=1e-5)
    transposed = torch.from_numpy(feats.T.copy()).T
    np.testing.assert_allclose(NFC(transposed[:, ::4]), naive_nfc(feats[:, ::4], 2, 2), rtol=1e-5)
    feats.setflags(write=False)
    np.testing.assert_allclose(NFC(feats), naive_nfc(feats, 2, 2), rtol=1e-5)


def test_one_sample_returns_itself():
    feats = torch.tensor([[1.0, 2.0]])
    assert torch.equal(NFC(feats), feats)


@pytest.mark.parametrize(
    ("feats", "message"),
    [
        (torch.zeros(3), "axes"),
        (torch.zeros(2, 3, 4), "axes"),
        (torch.zeros(0, 3), "empty"),
        (torch.zeros(3, 0), "empty"),
        (torch.tensor([[0.0], [torch.nan]]), "NaN"),
        (torch.tensor([[0.0], [torch.inf]]), "NaN or infinite"),
        (torch.zeros(3, 2, dtype=torch.int64), "floating"),
        (np.array([["a"]]), "array or torch tensor"),
        ([[0.0]], "array or torch tensor"),
    ],
)
def test_nfc_refuses(feats, message):
    with pytest.raises(ValueError, match=message):
        NFC(feats)


@pytest.mark.parametrize(("k1", "k2"), [(0, 2), (2, 0), (-1, 1)])
def test_nfc_refuses_small_k(k1, k2):
    with pytest.raises(ValueError, match="at least 1"):
        NFC(torch.zeros(3, 2), k1, k2)


@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_fuse_equals_naive(reduction, dtype):
    feats, generated = gaussian(5, 6).astype(dtype), gaussian(20, 6, seed=1).reshape(5, 4, 6).astype(dtype)
    result = fuse_generated(feats, generated, eta=0.5, reduction=reduction)
    expected = [f + 0.5 * getattr(g.astype(np.float64), reduction)(0) for f, g in zip(feats, generated, strict=True)]
    assert result.dtype == dtype
    np.testing.assert_allclose(result, np.array(expected), rtol=2e-3 if dtype == np.float16 else 1e-6, atol=1e-3)


def test_fuse_refuses():
    feats = torch.zeros(5, 6)
    for shape in [(5, 6), (4, 2, 6), (5, 2, 7), (5, 0, 6)]:
        with pytest.raises(ValueError, match="generated"):
            fuse_generated(feats, torch.zeros(shape))
    with pytest.raises(ValueError, match="reduction"):
        fuse_generated(feats, torch.zeros(5, 2, 6), reduction="max")
    with pytest.raises(ValueError, match="NaN"):
        fuse_generated(feats, torch.full((5, 2, 6), torch.nan))
