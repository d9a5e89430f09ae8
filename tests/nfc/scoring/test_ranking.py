"""CMC, mAP and mINP against a naive reference, with ties, junk and queries without a match."""

from functools import partial

import numpy as np
import pytest
import torch

from NFC import evaluate_ranking, rank_gallery
from NFC.scoring import ranking, ranks
from pose2id.devices import AtOnce
from tests.nfc.precisions import PRECISIONS


@pytest.fixture(params=PRECISIONS)
def limits(request, monkeypatch):
    """Limits with which `evaluate_ranking` comes to use every precision and several blocks."""
    chosen = ranks.RankLimits(PRECISIONS[request.param], looked_at=5, measured=3)
    monkeypatch.setattr(ranking, "ranks_by_features", partial(ranks.ranks_by_features, limits=chosen))
    monkeypatch.setattr(ranks, "BLOCK", AtOnce(64, 64))


def same_pid_and_camera(q_pid, q_camid, g_pid, g_camid):
    return g_pid == q_pid and g_camid == q_camid


def naive_ranking(
    distances, q_pids, g_pids, q_camids, g_camids, max_rank, excluded=same_pid_and_camera, identities=False
):
    """Plain loops; wrong items at equal distance go first."""
    precisions, penalties, curves = [], [], []
    for i, row in enumerate(np.asarray(distances, np.float64)):
        kept = [j for j in range(len(row)) if not excluded(q_pids[i], q_camids[i], g_pids[j], g_camids[j])]
        ranked = sorted(kept, key=lambda j: (row[j], g_pids[j] == q_pids[i]))
        ranks = [r for r, j in enumerate(ranked, 1) if g_pids[j] == q_pids[i]]
        if not ranks:
            precisions.append(np.nan)
            penalties.append(np.nan)
            continue
        precisions.append(np.mean([n / r for n, r in enumerate(ranks, 1)]))
        penalties.append(len(ranks) / ranks[-1])
        if identities:
            pids = list(dict.fromkeys(g_pids[j] for j in ranked))  # first occurrence of each
            ranks = [pids.index(q_pids[i]) + 1]
        curves.append([float(ranks[0] <= k) for k in range(1, max_rank + 1)])
    return np.array(precisions), np.array(penalties), np.mean(curves, axis=0)


def squared_distances(query, gallery):
    return ((query.astype(np.float64)[:, None] - gallery.astype(np.float64)[None]) ** 2).sum(2)


def assert_equals_naive(result, distances, labels, max_rank, **rule):
    precision, penalty, cmc = naive_ranking(distances, *labels, max_rank, **rule)
    np.testing.assert_allclose(result.average_precision, precision, rtol=1e-12)
    np.testing.assert_allclose(result.inverse_negative_penalty, penalty, rtol=1e-12)
    np.testing.assert_allclose(result.cmc, cmc, rtol=1e-12)
    np.testing.assert_array_equal(result.valid_queries, ~np.isnan(precision))
    assert result.mAP == pytest.approx(np.nanmean(precision))
    assert result.mINP == pytest.approx(np.nanmean(penalty))


def random_labels(rng, queries, gallery, people):
    """q_pids, g_pids, q_camids, g_camids with at least one valid query."""
    q_pids, g_pids = rng.integers(0, people, queries), rng.integers(-1, people, gallery)
    q_camids, g_camids = rng.integers(0, 3, queries), rng.integers(0, 3, gallery)
    g_pids[0], g_camids[0] = q_pids[0], q_camids[0] + 1
    return q_pids, g_pids, q_camids, g_camids


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("kind", ["gaussian", "grid", "duplicates", "near duplicates", "zeros"])
def test_features_equal_naive(seed, kind, limits):
    rng = np.random.default_rng(seed)
    queries, gallery, dim = int(rng.integers(1, 20)), int(rng.integers(1, 40)), int(rng.integers(1, 40))
    q, g = rng.standard_normal((queries, dim)), rng.standard_normal((gallery, dim))
    if kind == "grid":
        q, g = q.round(), g.round()
    elif kind == "duplicates":
        g = g[rng.integers(0, max(1, gallery // 3), gallery)]
    elif kind == "near duplicates":
        g = g[:1] + 1e-4 * g
    elif kind == "zeros":
        q, g = q * 0, g * rng.integers(0, 2, (gallery, 1))
    q, g = q.astype(np.float32), g.astype(np.float32)
    labels = random_labels(rng, queries, gallery, people=int(rng.integers(1, 6)))
    distances = squared_distances(q, g)
    assert_equals_naive(evaluate_ranking(q, g, *labels, max_rank=10), distances, labels, max_rank=10)
    assert_equals_naive(evaluate_ranking(q, g, *labels, 10, cmc="identities"), distances, labels, 10, identities=True)


@pytest.mark.parametrize("seed", range(5))
def test_true_matches_that_bounds_cannot_order(seed, monkeypatch):
    """All items differ by a bit or two of float32, so every match may tie with every item; bfloat16 has to do alone."""
    limits = ranks.RankLimits(PRECISIONS["bfloat16"][:1])
    monkeypatch.setattr(ranking, "ranks_by_features", partial(ranks.ranks_by_features, limits=limits))
    rng = np.random.default_rng(seed)
    q, g = np.zeros((3, 8), np.float32), np.ones((60, 8), np.float32)
    g[:, 0] += rng.integers(0, 40, 60).astype(np.float32) * 2**-23
    labels = random_labels(rng, 3, 60, people=3)
    distances = squared_distances(q, g)
    assert len(np.unique(distances)) > 25
    assert_equals_naive(evaluate_ranking(q, g, *labels), distances, labels, 50)
    assert_equals_naive(evaluate_ranking(q, g, *labels, cmc="identities"), distances, labels, 50, identities=True)


@pytest.mark.parametrize("precisions", PRECISIONS.values(), ids=PRECISIONS)
def test_large_gallery_equals_naive(precisions, monkeypatch):
    """Columns that need more than 16 bits."""
    limits = ranks.RankLimits(precisions)
    monkeypatch.setattr(ranking, "ranks_by_features", partial(ranks.ranks_by_features, limits=limits))
    rng = np.random.default_rng(0)
    q, g = (rng.standard_normal((count, 4)).astype(np.float32) for count in (4, 70_000))
    labels = random_labels(rng, 4, 70_000, people=9_000)
    assert_equals_naive(evaluate_ranking(q, g, *labels), squared_distances(q, g), labels, 50)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_dtypes_and_views(dtype):
    rng = np.random.default_rng(0)
    q, g = rng.standard_normal((8, 30)).astype(dtype)[:, ::3], rng.standard_normal((30, 10)).astype(dtype)[::-1]
    labels = random_labels(rng, 8, 30, people=4)
    expected = squared_distances(q, g)
    assert_equals_naive(evaluate_ranking(q, g, *labels), expected, labels, 50)
    tensors = torch.from_numpy(q.copy()), torch.from_numpy(g.T.copy()).T
    assert_equals_naive(evaluate_ranking(*tensors, *map(torch.from_numpy, labels)), expected, labels, 50)


@pytest.mark.parametrize("seed", range(10))
def test_given_distances_equal_naive(seed):
    rng = np.random.default_rng(seed)
    distances = rng.integers(0, 5, (9, 25)).astype(np.float32)
    distances[distances == 4] = np.inf
    labels = random_labels(rng, 9, 25, people=4)
    assert_equals_naive(evaluate_ranking(None, None, *labels, distances=distances), distances, labels, 50)


def same_place(q_pids, q_camids, g_pids, g_camids):
    """The rule of SYSU-MM01: cameras 2 and 3 watch the same place (here 1 and 2)."""
    return (q_camids == 2)[:, None] & (g_camids == 1)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("identities", [False, True])
def test_other_exclusions_and_cmc_over_identities(seed, identities, monkeypatch):
    monkeypatch.setattr(ranks, "BLOCK", AtOnce(64, 64))
    rng = np.random.default_rng(seed)
    queries, gallery = int(rng.integers(1, 12)), int(rng.integers(1, 40))
    distances = rng.integers(0, 6, (queries, gallery)).astype(np.float64)
    distances[distances == 5] = np.inf
    labels = random_labels(rng, queries, gallery, people=5)
    labels[2][0] = 0  # the first query keeps its true match
    result = evaluate_ranking(
        None, None, *labels, 7, distances, exclude=same_place, cmc="identities" if identities else "pictures"
    )
    rule = {"excluded": lambda qp, qc, gp, gc: qc == 2 and gc == 1, "identities": identities}
    assert_equals_naive(result, distances, labels, 7, **rule)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("given", [False, True])
def test_rank_lists_equal_naive(seed, given, monkeypatch):
    monkeypatch.setattr(ranks, "BLOCK", AtOnce(64, 64))
    rng = np.random.default_rng(seed)
    queries, gallery, k = (int(rng.integers(1, high)) for high in (12, 30, 40))
    q, g = rng.integers(-1, 2, (queries, 3)).astype(np.float32), rng.integers(-1, 2, (gallery, 3)).astype(np.float32)
    distances = squared_distances(q, g)
    if given:
        distances[distances > 5] = np.inf
    labels = q_pids, g_pids, q_camids, g_camids = random_labels(rng, queries, gallery, people=3)
    result = rank_gallery(*((None, None) if given else (q, g)), *labels, k, distances if given else None)
    assert result.dtype == np.int64
    for i in range(queries):
        kept = [j for j in range(gallery) if not same_pid_and_camera(q_pids[i], q_camids[i], g_pids[j], g_camids[j])]
        ranked = sorted(kept, key=lambda j: (distances[i, j], j))[:k]
        assert result[i].tolist() == ranked + [-1] * (k - len(ranked))
    everything = rank_gallery(
        *((None, None) if given else (q, g)), *labels, k, distances if given else None, same_place
    )
    place = same_place(*(torch.from_numpy(values) for values in (q_pids, q_camids, g_pids, g_camids))).numpy()
    assert (everything >= 0).sum(1).tolist() == np.minimum((~place).sum(1), k).tolist()


@pytest.mark.parametrize("scale", [1e-25, 1e25])
def test_extreme_magnitudes_rank_the_same(scale):
    rng = np.random.default_rng(0)
    q, g = rng.standard_normal((6, 5)).astype(np.float32), rng.standard_normal((20, 5)).astype(np.float32)
    labels = random_labels(rng, 6, 20, people=4)
    plain = evaluate_ranking(q, g, *labels)
    for dtype in (np.float32, np.float64):
        scaled = evaluate_ranking((q * dtype(scale)).astype(dtype), (g * dtype(scale)).astype(dtype), *labels)
        np.testing.assert_allclose(scaled.average_precision, plain.average_precision)


def test_equal_gallery_rows_tie_exactly():
    rng = np.random.default_rng(0)
    person, others = rng.standard_normal((1, 333)), rng.standard_normal((500, 333))
    gallery = np.concatenate([person, others, np.repeat(person, 9, axis=0)]).astype(np.float32)
    pids = np.array([1] + [2] * 509)
    query = (person + 0.1 * rng.standard_normal((1, 333))).astype(np.float32)
    result = evaluate_ranking(query, gallery, [1], pids, [0], np.ones(510, int))
    assert result.average_precision.tolist() == [0.1]


def test_short_gallery_keeps_the_last_cmc_value():
    result = evaluate_ranking(None, None, [1, 2], [1, 2, 3], [0, 0], [1, 0, 1], 5, distances=np.array([[2, 1, 0]] * 2))
    assert result.cmc.tolist() == [0, 0, 1, 1, 1]
    assert result.valid_queries.tolist() == [True, False]
    assert np.isnan(result.average_precision[1])


@pytest.mark.parametrize(
    ("g_pids", "g_camids"), [([1, 1], [0, 0]), ([2, 3], [1, 1])], ids=["gallery of junk only", "no query has a match"]
)
def test_nothing_to_score_is_an_error(g_pids, g_camids):
    with pytest.raises(ValueError, match="no query has a true match"):
        evaluate_ranking(torch.zeros(1, 2), torch.zeros(2, 2), [1], g_pids, [0], g_camids)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"query": torch.zeros(0, 2)}, "query is empty"),
        ({"query": torch.zeros(2, 3)}, "differ in size: 3 and 2"),
        ({"query": torch.full((2, 2), torch.nan)}, "query holds NaN"),
        ({"gallery": None}, "give query and gallery features, or distances="),
        ({"gallery": torch.zeros(2)}, "gallery must have 2 axes"),
        ({"q_pids": [1]}, "q_pids must have shape"),
        ({"g_pids": [1, 2, 3]}, "g_pids must have shape"),
        ({"q_camids": [0.5, 0.5]}, "q_camids must be integers"),
        ({"g_camids": []}, "g_camids must be integers"),
        ({"max_rank": 0}, "max_rank must be at least 1"),
        ({"cmc": "people"}, "cmc must be 'pictures' or 'identities'"),
        ({"distances": np.zeros((2, 3))}, r"g_pids must have shape \(3,\)"),
        ({"distances": np.full((2, 2), np.nan)}, "distances hold NaN"),
        ({"distances": np.zeros(4)}, "distances must be a .Q, G. matrix"),
    ],
    ids=str,
)
def test_refuses(changed, told):
    arguments = {
        "query": torch.zeros(2, 2),
        "gallery": torch.zeros(2, 2),
        "q_pids": [1, 2],
        "g_pids": [1, 2],
        "q_camids": [0, 0],
        "g_camids": [1, 1],
    }
    assert evaluate_ranking(**arguments).valid_queries.all()
    with pytest.raises(ValueError, match=told):
        evaluate_ranking(**(arguments | changed))


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"k": 0}, "k must be at least 1"),
        ({"query": torch.zeros(2, 3)}, "differ in size: 3 and 2"),
        ({"g_pids": [1]}, "g_pids must have shape"),
    ],
    ids=str,
)
def test_rank_lists_refuse(changed, told):
    arguments = {"query": torch.zeros(2, 2), "gallery": torch.zeros(2, 2)}
    arguments |= {name: [0, 1] for name in ("q_pids", "g_pids", "q_camids", "g_camids")}
    with pytest.raises(ValueError, match=told):
        rank_gallery(**(arguments | changed))
