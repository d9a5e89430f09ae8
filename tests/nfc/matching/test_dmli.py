"""DMLI against the figures of the authors' code and a loop over cells."""

from itertools import product

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from NFC import dmli_distances
from NFC.features.feature_set import FeatureSet
from NFC.features.kinds import StripeFeatures, alignment
from NFC.features.kinds.alignment import element_distances, paired_distances, path_sums, shortest_path
from NFC.matching import DMLI
from pose2id.devices import AtOnce
from pose2id.errors import UserError
from tests.nfc.networks.official import error, golden

STORED = golden("stripes_grid/dmli")
X, Y = STORED["x"], STORED["y"]
# The official products lose up to 5e-4 where stripes are equal: in pair (1, 3), and where a picture meets itself.
EXACT, OFFICIAL_LOSS = 2e-5, 1e-3


def naive(a, b, aligned=True) -> np.ndarray:
    """Cell by cell, in float64."""
    result = np.zeros((len(a), len(b)))
    for (q, x), (g, y) in product(enumerate(a.double().numpy()), enumerate(b.double().numpy())):
        d = np.tanh(np.linalg.norm(x[:, None] - y[None], axis=-1) / 2)
        sums = np.full((d.shape[0] + 1, d.shape[1] + 1), np.inf)
        sums[0, 1] = 0
        for i, j in np.ndindex(*d.shape):
            sums[i + 1, j + 1] = d[i, j] + min(sums[i, j + 1], sums[i + 1, j])
        result[q, g] = sums[-1, -1] if aligned else np.trace(d)
    return result


def stripes(*shape, seed=0):
    return normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def test_golden():
    assert error(element_distances(X[:, None], Y[None]), STORED["elements"]) < 1e-3
    aligned = dmli_distances(X, Y)
    others = torch.ones_like(aligned, dtype=torch.bool)
    others[1, 3] = False
    assert error(aligned[others], STORED["aligned"][others]) < EXACT
    assert float(aligned[1, 3]) == pytest.approx(float(STORED["aligned"][1, 3]), abs=OFFICIAL_LOSS)
    assert error(dmli_distances(X, Y, aligned=False), STORED["unaligned"]) < EXACT
    assert (dmli_distances(X, X) - STORED["self_aligned"]).abs().max() < OFFICIAL_LOSS
    assert error(dmli_distances(STORED["x_6"], STORED["y_9"]), STORED["aligned_6_9"]) < EXACT
    assert error(paired_distances(X, Y[:5]), STORED["torch_pairs"]) < EXACT
    np.testing.assert_allclose(aligned.numpy(), naive(X, Y), atol=1e-5)


@pytest.mark.parametrize(("pair", "name"), [((1, 3), "1_3"), ((0, 0), "0_0")])
def test_golden_paths(pair, name):
    elements = element_distances(X[pair[0]], Y[pair[1]]).numpy()
    assert np.array_equal(shortest_path(elements), STORED[f"path_{name}"])
    if name == "1_3":
        table = path_sums(elements)
        np.testing.assert_allclose(table, STORED["table_1_3"], atol=OFFICIAL_LOSS)
        assert table[-1, -1] / 16 == pytest.approx(float(STORED["normalised_1_3"]), abs=OFFICIAL_LOSS)


def test_large_distances_do_not_overflow():
    assert STORED["aligned_unnormalised_200"].isnan().all(), "what exponentials give"
    distances = dmli_distances(200 * X, 200 * Y)
    np.testing.assert_allclose(distances.numpy(), naive(200 * X, 200 * Y), atol=1e-5)
    huge = dmli_distances(1e30 * X, 1e30 * Y)
    assert huge.isfinite().all()


def test_one_pair_is_a_row_of_the_batch():
    assert STORED["single_pair_official_1_3"].tolist() != pytest.approx([4.934, 4.535], abs=0.1), "a slip of theirs"
    assert float(dmli_distances(X[1:2], Y[3:4])) == pytest.approx(float(STORED["aligned"][1, 3]), abs=OFFICIAL_LOSS)
    assert float(dmli_distances(X[1:2], Y[3:4], False)) == pytest.approx(float(STORED["unaligned"][1, 3]), abs=1e-4)


def test_a_shifted_copy_comes_first_with_alignment_and_last_without():
    aligned, unaligned = dmli_distances(X, Y)[1], dmli_distances(X, Y, aligned=False)[1]
    assert aligned.argmin() == 3 and aligned.sort().values[1] > 7.1 and unaligned.argmax() == 3


def test_a_picture_is_not_at_distance_0_from_itself():
    own = dmli_distances(X, X).diagonal()
    assert own[2] < 1e-3 and (own[[0, 1, 3, 4]] > 3).all(), "only where all stripes are equal"
    torch.testing.assert_close(dmli_distances(X, Y), dmli_distances(Y, X).T, atol=2e-5, rtol=0)


def test_a_path_has_h_plus_k_minus_1_cells_and_never_goes_back():
    for h, k in ((8, 8), (1, 5), (6, 9), (1, 1)):
        path = shortest_path(np.random.default_rng(h).random((h, k)))
        steps = np.diff(path)
        assert path.shape == (2, h + k - 1) and (steps.sum(0) == 1).all() and (steps >= 0).all()
        assert path[:, 0].tolist() == [0, 0] and path[:, -1].tolist() == [h - 1, k - 1]
    assert shortest_path(np.ones((2, 2))).tolist() == [[0, 1, 1], [0, 0, 1]]


@pytest.mark.parametrize(("h", "k"), [(8, 8), (6, 9), (1, 1), (1, 4), (5, 1)])
def test_equals_naive_whatever_the_tiles(h, k, monkeypatch):
    monkeypatch.setattr(alignment, "QUERIES", AtOnce(3, 3))
    monkeypatch.setattr(alignment, "ELEMENTS", AtOnce(4 * 3 * k + 1, 1))
    monkeypatch.setattr(alignment, "GATHERED", AtOnce(30, 1))
    a, b = stripes(7, h, 12), stripes(11, k, 12, seed=1)
    b[2], b[3, -1], a[4, 0] = b[2, 0], a[5, 0], 0
    b[7] = a[1, 0] if h != k else a[1]
    for aligned in (True, False) if h == k else (True,):
        expected = naive(a, b, aligned)
        np.testing.assert_allclose(dmli_distances(a, b, aligned).numpy(), expected, atol=1e-5)
        np.testing.assert_allclose(dmli_distances(a.numpy(), b[:1].numpy(), aligned), expected[:, :1], atol=1e-5)
        np.testing.assert_allclose(dmli_distances(a.double(), b.double(), aligned).numpy(), expected, atol=1e-7)


def test_nearly_equal_stripes_lose_nothing():
    a = stripes(3, 4, 64).repeat(2, 1, 1)
    b = a + 1e-4 * stripes(6, 4, 64, seed=2)
    np.testing.assert_allclose(dmli_distances(a, b).numpy(), naive(a, b), atol=1e-5)
    np.testing.assert_allclose(dmli_distances(a, b, False).numpy(), naive(a, b, False), atol=1e-6)


def test_a_stripe_of_zeros_is_as_far_from_all():
    nothing, some = torch.zeros(1, 1, 6), stripes(4, 1, 6)
    torch.testing.assert_close(dmli_distances(nothing, some), torch.full((1, 4), 0.5).tanh())
    assert dmli_distances(nothing, nothing) == 0


def test_the_gradient_is_that_of_the_cells_on_the_path():
    a, b = (tensor.clone().requires_grad_() for tensor in (stripes(2, 4, 6), stripes(2, 4, 6, seed=1)))
    paired_distances(a, b).sum().backward()
    for pair in range(2):
        own = [tensor[pair].detach().clone().requires_grad_() for tensor in (a, b)]
        i, j = map(torch.from_numpy, shortest_path(element_distances(*own).detach().numpy()))
        ((own[0][i] - own[1][j]).norm(dim=1) / 2).tanh().sum().backward()
        torch.testing.assert_close([a.grad[pair], b.grad[pair]], [tensor.grad for tensor in own])


def feature_set(count, seed):
    generator = torch.Generator().manual_seed(seed)
    whole = torch.randn(count, 5, generator=generator)
    features = StripeFeatures(whole, stripes(count, 4, 3, seed=seed)).normalized()
    return FeatureSet(features, torch.arange(count), torch.zeros(count, dtype=torch.int64))


@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("squared", [True, False])
def test_terms_of_the_matcher(aligned, squared):
    query, gallery, rows = feature_set(4, 0), feature_set(9, 1), torch.arange(4)
    whole = torch.cdist(query.feats.whole.double(), gallery.feats.whole.double())
    whole = whole.square() if squared else whole
    local = torch.from_numpy(naive(query.feats.stripes, gallery.feats.stripes, aligned))
    for name, expected in (("global", whole), ("local", local), ("global_local", whole + local)):
        distances = DMLI(name, aligned, squared).distances(query, gallery)[rows]
        torch.testing.assert_close(distances.double(), expected, atol=1e-5, rtol=0)
    block = query.feats.distance_block(gallery.feats)
    assert torch.equal(block, DMLI().distances(query, gallery)[rows])


@pytest.mark.parametrize("distance", ["local", "global_local"])
def test_with_a_shortlist_the_nearest_wholes_are_compared_and_the_others_follow(distance):
    query, gallery = feature_set(5, 0), feature_set(30, 1)
    everything = torch.arange(5)
    wholes = DMLI("global").distances(query, gallery)[everything]
    full = DMLI(distance).distances(query, gallery)[everything]
    short = DMLI(distance, shortlist=7).distances(query, gallery)
    for row, found in enumerate(short[everything]):
        first = wholes[row].argsort(stable=True)[:7]
        torch.testing.assert_close(found[first], full[row, first].double())
        rest = [item for item in wholes[row].argsort(stable=True).tolist() if item not in first.tolist()]
        assert found.argsort(stable=True)[7:].tolist() == rest and found[rest].min() > found[first].max()
    assert torch.equal(short.candidates, wholes.argsort(dim=1, stable=True)[:, :7])
    assert torch.allclose(DMLI(distance, shortlist=99).distances(query, gallery)[everything], full.double())
    with pytest.raises(UserError, match="shortlist cannot be below 0, got -1"):
        DMLI(shortlist=-1)


def test_mistakes_are_one_line():
    with pytest.raises(UserError, match="unknown distance 'both'; choose one of: global, local, global_local"):
        DMLI("both")
    with pytest.raises(UserError, match="differ in size: 12 and 7"):
        dmli_distances(stripes(2, 3, 12), stripes(2, 3, 7))
    with pytest.raises(UserError, match="there are 3 and 4: align them"):
        dmli_distances(stripes(2, 3, 12), stripes(2, 4, 12), aligned=False)
    with pytest.raises(UserError, match="query stripes must have 3 axes"):
        dmli_distances(stripes(2, 3), stripes(2, 3))
    with pytest.raises(UserError, match="gallery stripes holds NaN"):
        dmli_distances(stripes(2, 3, 4), stripes(2, 3, 4) * torch.nan)
    with pytest.raises(UserError, match="6 numbers do not hold 3 stripes of 2 and a whole"):
        StripeFeatures.unflatten(torch.zeros(1, 6), 3, 2)
    with pytest.raises(UserError, match="need whole"):
        StripeFeatures(torch.zeros(2, 3), torch.zeros(3, 4, 5))
    small, large = feature_set(2, 0), feature_set(2, 0)
    other = FeatureSet(StripeFeatures(torch.ones(2, 6), large.feats.stripes), large.pids, large.camids)
    with pytest.raises(UserError, match="features differ in size: 5 and 6"):
        DMLI().distances(small, other)
