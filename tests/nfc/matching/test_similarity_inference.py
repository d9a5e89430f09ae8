"""SIM against its authors' program (golden), a naive loop, and at its edges."""

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from NFC.chain import Chain
from NFC.evaluation.benchmark import benchmark_numbers
from NFC.features.feature_set import FeatureSet
from NFC.matching import KReciprocal, SimilarityInference
from NFC.matching.inferred import InferredDistances
from NFC.matching.similarity_inference import _warn_once, similarity_inference_distances
from NFC.methods import build_methods
from pose2id.devices import AtOnce
from pose2id.errors import UserError

GOLDEN = np.load(Path(__file__).parents[2] / "golden" / "asymmetric" / "sim.npz")
SYSU, REGDB = (
    dict(benchmark_numbers(name, {"shots": 10} if name == "sysu_mm01" else {}, {})["similarity_inference"])
    for name in ("sysu_mm01", "regdb")
)
SMALL = {"lambda_value": 0.1, "k": 3, "m": 5, "kq": 4, "kg": 6, "alpha": 0.4}


def unit(count, seed, dim=6, people=5):
    rng = torch.Generator().manual_seed(seed)
    centres = torch.randn(people, dim, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    noise = torch.randn(count, dim, generator=rng, dtype=torch.float64)
    return normalize(centres[torch.arange(count) % people] + 0.6 * noise, dim=1)


def naive(query, gallery, mode, reading, weights, lambda_value, k, m, kq, kg, alpha):
    """Picture by picture; distances are summed directly."""
    q, g = query.double().numpy(), gallery.double().numpy()
    count = len(g)
    d_qg = np.sqrt(((q[:, None] - g) ** 2).sum(2))
    d_gg = np.sqrt(((g[:, None] - g) ** 2).sum(2))
    near = [sorted(range(count), key=lambda t, j=j: (t != j, d_gg[j, t], t)) for j in range(count)]
    smooth = d_qg.copy()
    if mode != "mutual":
        before = smooth if reading == "in_place" else d_qg
        for j in range(count):
            among = near[j] if reading == "literal" else near[j][:m]
            smooth[:, j] = np.sort(before[:, among] + lambda_value * d_gg[j, among], axis=1)[:, :k].mean(1)
    if mode == "graph":
        return smooth

    def mutual(i, size):
        return {j for j in near[i][: size + 1] if i in near[j][: size + 1]}

    def weighed(members, squares):
        values = np.zeros(count)
        scaled = squares / squares.max() if squares.max() else squares
        values[members] = np.exp(-scaled[members]) if weights == "exp" else 1
        return values / values.sum() if weights == "exp" else values

    sets = []
    for j in range(count):
        expanded = base = mutual(j, kg)
        for c in base:
            half = mutual(c, round(kg / 2))
            expanded = expanded | half if len(base & half) > 2 / 3 * len(half) else expanded
        sets.append(weighed(sorted(expanded), d_gg[j] ** 2))
    result = np.zeros_like(smooth)
    for i, row in enumerate(smooth):
        own = weighed(np.lexsort((np.arange(count), row))[: kq + 1], row**2)
        scaled = row**2 / row.max() ** 2 if row.max() else row
        for j in range(count):
            shared = np.minimum(own, sets[j]).sum() / np.maximum(own, sets[j]).sum()
            result[i, j] = alpha * scaled[j] + (1 - alpha) * (1 - shared)
    return result


@pytest.mark.parametrize(("name", "numbers"), [("sysu", SYSU), ("regdb", REGDB)])
@pytest.mark.parametrize(
    ("key", "options"),
    [
        ("official_graph", {"mode": "graph", "reading": "in_place"}),
        ("official_mutual_only", {"mode": "mutual"}),
        ("official_sim", {"reading": "in_place"}),
        ("own_graph_jacobi", {"mode": "graph"}),
        ("own_graph_literal", {"mode": "graph", "reading": "literal"}),
        ("own_sim_jacobi", {}),
        ("own_sim_literal", {"reading": "literal"}),
        ("own_sim_jacobi_binary", {"weights": "binary"}),
    ],
)
def test_golden(name, numbers, key, options):
    found = similarity_inference_distances(GOLDEN["query"], GOLDEN["gallery"], **numbers, **options)
    np.testing.assert_allclose(found, GOLDEN[f"{name}_{key}"], rtol=0, atol=2e-7)


@pytest.mark.parametrize("mode", ["both", "graph", "mutual"])
@pytest.mark.parametrize("reading", ["local", "literal", "in_place"])
@pytest.mark.parametrize("weights", ["exp", "binary"])
@pytest.mark.parametrize("block", [1, 100, 10**6])
def test_equals_a_naive_loop(mode, reading, weights, block, monkeypatch):
    monkeypatch.setattr("NFC.matching.inferred.BLOCK", AtOnce(block, block))
    options = {**SMALL, "mode": mode, "reading": reading, "weights": weights}
    query, gallery = unit(7, 0), unit(24, 1)
    gallery[9] = gallery[5]  # a picture that is there twice
    found = similarity_inference_distances(query, gallery, **options)
    np.testing.assert_allclose(found, naive(query, gallery, **options), rtol=0, atol=1e-6)


@pytest.mark.parametrize("options", [{}, {"reading": "literal"}, {"reading": "in_place"}, {"weights": "binary"}])
@pytest.mark.parametrize("items", [1, 2, 6])
def test_a_gallery_smaller_than_the_numbers_counts_whole(options, items):
    query, gallery = unit(3, 0), unit(items, 1)
    given = {**SYSU, "mode": "both", "reading": "local", "weights": "exp", **options}
    found = similarity_inference_distances(query, gallery, **given)
    np.testing.assert_allclose(found, naive(query, gallery, **given), rtol=0, atol=1e-6)


@pytest.mark.parametrize("mode", ["both", "graph", "mutual"])
def test_a_gallery_of_nothing_but_the_query(mode):
    one = unit(1, 0)
    found = similarity_inference_distances(one, one.expand(4, -1), mode=mode)
    assert found.isfinite().all() and found.abs().max() < 1e-6


def test_a_query_stands_for_itself():
    query, gallery = unit(6, 0), unit(30, 1)
    whole = similarity_inference_distances(query, gallery, **SMALL)
    torch.testing.assert_close(similarity_inference_distances(query[4:5], gallery, **SMALL), whole[4:5])
    blocks = InferredDistances.between(query, gallery, SimilarityInference(**SMALL))
    assert tuple(blocks.shape) == (6, 30)
    torch.testing.assert_close(blocks[torch.tensor([3, 0])], whole[[3, 0]])


def test_the_order_of_the_gallery_decides_nothing_but_in_place():
    query, gallery, order = unit(6, 0), unit(30, 1), torch.randperm(30, generator=torch.Generator().manual_seed(0))
    for reading in ("local", "literal"):
        whole = similarity_inference_distances(query, gallery, **SMALL, reading=reading)
        turned = similarity_inference_distances(query, gallery[order], **SMALL, reading=reading)
        torch.testing.assert_close(turned, whole[:, order])
    whole, turned = (
        similarity_inference_distances(query, g, **SMALL, reading="in_place") for g in (gallery, gallery[order])
    )
    assert (turned - whole[:, order]).abs().max() > 1e-4


def test_arrays_and_precisions():
    query, gallery = unit(5, 0), unit(20, 1)
    exact = similarity_inference_distances(query, gallery, **SMALL)
    single = similarity_inference_distances(query.float().numpy(), gallery.float().numpy(), **SMALL)
    assert exact.dtype == torch.float64 and isinstance(single, np.ndarray) and single.dtype == np.float32
    assert single == pytest.approx(exact.numpy(), abs=1e-5)
    half = similarity_inference_distances(query.half(), gallery.half(), **SMALL)
    assert half.dtype == torch.float32 and (half - exact).abs().median() < 0.01


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lambda_value": -0.1}, "lambda_value is -0.1"),
        ({"lambda_value": float("nan")}, "lambda_value is nan"),
        ({"alpha": 1.5}, "alpha is 1.5; it must be from 0 to 1"),
        ({"k": 0}, "k is 0"),
        ({"m": 0}, "m is 0"),
        ({"kq": 0}, "kq is 0"),
        ({"kg": 0}, "kg is 0"),
        ({"mode": "all"}, "mode must be both or graph or mutual, got 'all'"),
        ({"reading": "global"}, "reading must be local or literal or in_place"),
        ({"weights": "soft"}, "weights must be exp or binary"),
        ({"query": torch.full((2, 6), torch.nan)}, "query holds NaN"),
        ({"gallery": torch.ones(3, 4)}, "differ in size: 6 and 4"),
    ],
)
def test_mistakes_are_told_in_one_line(change, message):
    with pytest.raises(UserError, match=message) as caught:
        similarity_inference_distances(**({"query": torch.ones(2, 6), "gallery": torch.ones(3, 6)} | change))
    assert len(str(caught.value).splitlines()) == 1


def test_it_finds_another_modality():
    """Queries are moved away from the gallery together; paths by way of the gallery and its sets bring them back."""
    pids = torch.arange(80) // 10
    gallery = unit(80, 3, dim=16, people=80)
    gallery = normalize(gallery[pids * 10] + 0.5 * unit(80, 4, dim=16, people=80), dim=1)
    query = normalize(gallery + 0.7 * unit(1, 5, dim=16) + 0.6 * unit(80, 6, dim=16, people=80), dim=1)
    plain, found = torch.cdist(query, gallery), similarity_inference_distances(query, gallery, **SYSU)
    hits = [(pids[d.argsort(1)[:, :10]] == pids[:, None]).double().mean() for d in (plain, found)]
    assert hits[1] > hits[0] + 0.1


def test_benchmarks_have_their_authors_numbers():
    assert SYSU == {"lambda_value": 0.01, "k": 9, "m": 20, "kq": 12, "kg": 20, "alpha": 0.3}
    assert REGDB == {"lambda_value": 0.1, "k": 5, "m": 20, "kq": 9, "kg": 20, "alpha": 0.7}
    single = benchmark_numbers("sysu_mm01", {}, {})
    (matcher,) = build_methods(["similarity_inference:mode=graph"], single)
    assert matcher.k < 4 and matcher.label == "SIM graph"
    with pytest.raises(UserError, match="k_reciprocal and similarity_inference both replace the distances"):
        Chain.of(KReciprocal(), matcher)


def test_people_with_few_gallery_pictures_are_told_once(caplog):
    _warn_once.cache_clear()
    pids = torch.tensor([0] * 9 + [1] * 4)
    query, gallery = FeatureSet(unit(2, 0), pids[:2], pids[:2]), FeatureSet(unit(13, 1), pids, pids)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            SimilarityInference().distances(query, gallery)
        SimilarityInference(k=4).distances(query, gallery)
        SimilarityInference().distances(query, replace(gallery, pids=None, camids=None))
    (record,) = caplog.records
    assert "1 of 2 people have fewer than k=9 pictures in the gallery" in record.getMessage()
    assert len(record.getMessage().splitlines()) == 1
