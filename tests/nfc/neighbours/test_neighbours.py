"""The neighbour engine against a naive reference: ties, duplicates, magnitudes, precisions, half floats."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from NFC import NFC
from NFC.neighbours.products import FLOAT32, FLOAT64
from NFC.neighbours.search import Limits, nearest_in_gallery, nearest_neighbours
from tests.nfc.precisions import PRECISIONS


@pytest.fixture(params=PRECISIONS)
def precision(request):
    return PRECISIONS[request.param]


def naive(query, gallery, k, excluded=()):
    """All distances in float64, sorted: (distance, index) lists of each query."""
    query, gallery = query.astype(np.float64), gallery.astype(np.float64)
    distances = ((query[:, None] - gallery[None]) ** 2).sum(2)
    result = []
    for i, row in enumerate(distances):
        ranked = [(row[j], j) for j in np.argsort(row, kind="stable").tolist() if (i, j) not in excluded]
        result.append(ranked[:k])
    return result


def assert_equals_naive(result, expected):
    indices, distances = (np.asarray(part) for part in result)
    for row, (own, far) in enumerate(zip(indices, distances, strict=True)):
        listed = len(expected[row])
        assert own.tolist() == [j for _, j in expected[row]] + [-1] * (len(own) - listed)
        with np.errstate(over="ignore"):
            nearest = np.array([d for d, _ in expected[row]]).astype(distances.dtype)
        np.testing.assert_allclose(far[:listed], nearest, rtol=1e-6)
        assert np.isinf(far[listed:]).all()


def gaussian(rows, dim, seed=0):
    return np.random.default_rng(seed).standard_normal((rows, dim)).astype(np.float32)


def clusters(rows, dim, noise, seed=0):
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((max(1, rows // 10), dim))
    feats = centres[rng.integers(0, len(centres), rows)] + noise * rng.standard_normal((rows, dim))
    return (feats / np.linalg.norm(feats, axis=1, keepdims=True)).astype(np.float32)


def grid(rows, dim, seed=0):
    """Small integers: many exact ties and duplicates, and zero rows."""
    feats = np.random.default_rng(seed).integers(-1, 2, (rows, dim)).astype(np.float32)
    feats[:: max(1, rows // 4)] = 0
    return feats


SETS = {
    "random": gaussian(60, 16),
    "clusters": clusters(200, 64, 0.05),
    "tight clusters": clusters(200, 64, 1e-4),
    "ties": grid(50, 3),
    "one column": gaussian(50, 1),
    "one column of ties": grid(50, 1),
    "duplicates": np.repeat(gaussian(9, 7), 5, axis=0),
    "many duplicates": np.repeat(gaussian(2, 7), 100, axis=0),
    "all equal": np.ones((150, 4), np.float32),
    "zeros": np.zeros((7, 3), np.float32),
    "one sample": gaussian(1, 5),
    "two samples": gaussian(2, 5),
    "fewer than k": gaussian(4, 5),
    "far from origin": gaussian(40, 8) + 1000,
    "huge": gaussian(30, 8) * np.float32(1e25),
    "largest": np.float32(3e38) * np.sign(gaussian(30, 3)),
    "tiny": gaussian(30, 8) * np.float32(1e-25),
    "one huge": np.concatenate([gaussian(30, 8), np.full((1, 8), 1e18, np.float32)]),
    "magnitudes": gaussian(60, 4) * np.float32(10) ** np.arange(-15, 15).repeat(2)[:, None].astype(np.float32),
    "near duplicates": np.repeat(gaussian(6, 64), 6, axis=0) + 1e-6 * gaussian(36, 64, seed=1),
    "a crowd of near duplicates": gaussian(1, 64) + 1e-6 * gaussian(150, 64, seed=1),
    "half": gaussian(60, 16).astype(np.float16),
    "double": gaussian(60, 16).astype(np.float64) + 1e-9 * gaussian(60, 16, seed=1),
}


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize(("k", "tile"), [(1, None), (2, 24), (5, 32), (5, 21)])
def test_self_search_equals_naive(name, k, tile, precision):
    feats = SETS[name]
    excluded = {(i, i) for i in range(len(feats))}
    expected = naive(feats, feats, min(k, len(feats) - 1), excluded)
    assert_equals_naive(nearest_neighbours(feats, k, Limits(precision, tile)), expected)


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("tile", [None, 16])
def test_gallery_search_equals_naive(name, tile, precision):
    gallery = SETS[name]
    query = np.concatenate([gallery[::3], gallery[:2] / 2 + gallery[-1] / 2])
    rng = np.random.default_rng(0)
    mask = torch.from_numpy(rng.random((len(query), len(gallery))) < 0.6)
    excluded = set(zip(*(part.tolist() for part in mask.nonzero(as_tuple=True)), strict=True))
    k, limits = min(5, len(gallery)), Limits(precision, tile)
    assert_equals_naive(nearest_in_gallery(query, gallery, 5, limits=limits), naive(query, gallery, k))
    masked = nearest_in_gallery(query, gallery, 5, lambda rows, cols: mask[rows][:, cols], limits)
    assert_equals_naive(masked, naive(query, gallery, k, excluded))


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.integers(1, 40),
    dim=st.integers(1, 6),
    k=st.integers(1, 8),
    levels=st.sampled_from(sorted(PRECISIONS)),
    bits=st.integers(0, 8),
    exponent=st.sampled_from([-100, -10, 0, 10, 100]),
    dtype=st.sampled_from([np.float16, np.float32, np.float64]),
)
def test_any_features(seed, rows, dim, k, levels, bits, exponent, dtype):
    """Binary fractions, so that sums are exact in float64 and ties are ties whatever the order of summation."""
    rng = np.random.default_rng(seed)
    exponent = 0 if dtype == np.float16 else exponent
    feats = ((rng.standard_normal((rows, dim)) * 2**bits).round() * 2.0**exponent).astype(dtype)
    feats[rng.random(rows) < 0.2] = feats[0]
    limits = Limits(
        PRECISIONS[levels],
        tile=int(rng.integers(1, 40)),
        at_least=int(rng.integers(0, 10)),
        new_pairs=int(rng.integers(0, 50)),
        last_pairs=int(rng.integers(1, 100)),
    )
    result = nearest_neighbours(feats, k, limits)
    assert_equals_naive(result, naive(feats, feats, min(k, rows - 1), {(i, i) for i in range(rows)}))


def test_several_tiles_of_the_usual_size(precision):
    feats = torch.from_numpy(clusters(2600, 24, 0.05))
    feats[100:300] = feats[2500]  # more equal rows than a row may keep
    distances = torch.cdist(feats.double(), feats.double(), compute_mode="donot_use_mm_for_euclid_dist")
    distances.fill_diagonal_(torch.inf)
    expected = distances.sort(dim=1, stable=True).indices[:, :3]
    assert torch.equal(nearest_neighbours(feats, 3, Limits(precision))[0], expected)


def test_reduced_precision_products_allowed_by_the_user():
    feats = gaussian(200, 32)
    torch.set_float32_matmul_precision("medium")
    try:
        result = nearest_neighbours(feats, 3, Limits((FLOAT32, FLOAT64)))
    finally:
        torch.set_float32_matmul_precision("highest")
    assert_equals_naive(result, naive(feats, feats, 3, {(i, i) for i in range(200)}))


def test_autocast_changes_nothing():
    feats = torch.from_numpy(clusters(300, 32, 0.05))
    expected = nearest_neighbours(feats, 4)
    with torch.autocast("cpu", torch.bfloat16):
        result = nearest_neighbours(feats, 4)
    assert torch.equal(result[0], expected[0])
    assert torch.equal(result[1], expected[1])


@pytest.mark.parametrize(
    ("query", "gallery", "k", "message"),
    [
        (torch.zeros(2, 3), torch.zeros(2, 4), 1, "differ in size: 3 and 4"),
        (torch.zeros(2, 3), torch.zeros(0, 3), 1, "gallery is empty"),
        (torch.zeros(2, 3), torch.full((2, 3), torch.nan), 1, "gallery holds NaN"),
        (torch.zeros(2, 3), torch.zeros(2, 3), 0, "k must be at least 1"),
    ],
)
def test_refuses(query, gallery, k, message):
    with pytest.raises(ValueError, match=message):
        nearest_in_gallery(query, gallery, k)


class BruteForce:
    """As much of faiss' graph index as is used, searching exactly."""

    def __init__(self, dim, links):
        self.dim = dim

    def add(self, feats):
        assert feats.shape[1] == self.dim
        self.feats = feats

    def search(self, feats, k):
        found = [[j for _, j in row] for row in naive(feats, self.feats, k)]
        return None, np.array(found)


@pytest.mark.parametrize("name", ["random", "clusters", "two samples", "one sample", "half"])
def test_approximate_search_drops_the_row_itself(name, monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", SimpleNamespace(IndexHNSWFlat=BruteForce))
    np.testing.assert_array_equal(NFC(SETS[name], 2, 3, approximate=True), NFC(SETS[name], 2, 3))


def test_approximate_search_without_faiss(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(ValueError, match="faiss-cpu"):
        NFC(SETS["random"], approximate=True)
