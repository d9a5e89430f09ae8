"""Features that are sets: the Jaccard distance against loops and golden values, its laws, means that keep a scale."""

from pathlib import Path

import numpy as np
import pytest
import torch

from NFC import ID2, NFC, fuse_generated
from NFC.features.feature_set import FeatureSet
from NFC.features.kinds import Layout, SetFeatures, unflatten
from NFC.features.kinds.sets import jaccard_distances
from NFC.matching import Jaccard
from NFC.matching.jaccard import JaccardDistances
from pose2id.devices import AtOnce
from pose2id.errors import UserError

GOLDEN = np.load(Path(__file__).parents[2] / "golden" / "asymmetric" / "mos.npz")
G = torch.from_numpy(GOLDEN["g"])


def sets(count, seed, size=12, empty=0.4):
    rng = torch.Generator().manual_seed(seed)
    values = torch.rand(count, size, generator=rng, dtype=torch.float64)
    return values * (torch.rand(count, size, generator=rng) > empty)


def naive(a, b):
    return np.array([[1 - np.minimum(x, y).sum() / np.maximum(x, y).sum() for y in b.numpy()] for x in a.numpy()])


def test_golden():
    np.testing.assert_allclose(1 - jaccard_distances(G, G), GOLDEN["jaccard"], rtol=0, atol=1e-12)


@pytest.mark.parametrize("block", [1, 40, 10**6])
def test_blocks_equal_loops(block, monkeypatch):
    monkeypatch.setattr("NFC.features.kinds.sets.IN_CACHE", block)
    monkeypatch.setattr("NFC.features.kinds.joined.BLOCK", AtOnce(block, block))
    a, b = sets(7, 0), sets(20, 1)
    blocks = JaccardDistances.between(SetFeatures(a), SetFeatures(b))
    np.testing.assert_allclose(blocks[torch.arange(7)], naive(a, b), rtol=0, atol=1e-12)
    own = naive(b, b)
    np.fill_diagonal(own, np.inf)
    assert torch.equal(SetFeatures(b).nearest(4), torch.from_numpy(own.argsort(1, kind="stable")[:, :4]))


def test_the_laws_of_the_distance():
    a, b, c = sets(9, 0), sets(9, 1), sets(9, 2)
    ab, bc, ac = jaccard_distances(a, b), jaccard_distances(b, c), jaccard_distances(a, c)
    assert jaccard_distances(a, a).diagonal().abs().max() == 0 and ((ab >= 0) & (ab <= 1)).all()
    torch.testing.assert_close(jaccard_distances(b, a), ab.T)
    torch.testing.assert_close(jaccard_distances(37 * a, 37 * b), ab)
    assert (jaccard_distances(3 * a, b) - ab).abs().max() > 0.1  # one of two scaled is another set
    assert (ac[:, None] <= ab[:, :, None] + bc[None] + 1e-12).all()  # the triangle inequality


def test_binary_rows_are_sets():
    a, b = (sets(6, seed).gt(0).double() for seed in (0, 1))
    both, either = a @ b.T, a.sum(1, keepdim=True) + b.sum(1) - a @ b.T
    torch.testing.assert_close(1 - jaccard_distances(a, b), both / either)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_empty_sets_have_nothing_in_common(dtype):
    a, empty = sets(3, 0).to(dtype), torch.zeros(2, 12, dtype=dtype)
    assert torch.equal(jaccard_distances(empty, a), torch.ones(2, 3, dtype=jaccard_distances(empty, a).dtype))
    assert jaccard_distances(empty, empty).eq(1).all()
    tiny = torch.full((1, 12), torch.finfo(torch.float32).tiny / 8, dtype=torch.float32)
    assert jaccard_distances(tiny, tiny).item() == 0 and jaccard_distances(tiny, 2 * tiny).isfinite().all()


def test_numbers_below_zero_are_one_line():
    bad = sets(4, 0).clone()
    bad[2, 1] = -0.25
    line = r"^feats are sets and cannot hold numbers below 0 such as -0\.25; take them after a ReLU$"
    for use in (NFC, lambda feats: ID2(feats, [0, 0, 1, 1]), lambda feats: fuse_generated(feats, feats)):
        with pytest.raises(UserError, match=line):
            use(SetFeatures(bad))
    with pytest.raises(UserError, match="gallery are sets and cannot hold"):
        Jaccard().distances(*(FeatureSet(SetFeatures(values), None, None) for values in (sets(2, 0), bad)))
    with pytest.raises(UserError, match="query and gallery sets differ in size: 12 and 5"):
        JaccardDistances.between(SetFeatures(sets(2, 0)), SetFeatures(sets(2, 0, size=5)))
    with pytest.raises(UserError, match="features of 12 numbers are no sets of 5"):
        unflatten(sets(2, 0), Layout("sets", (5,)))
    with pytest.raises(UserError, match="searched exactly"):
        SetFeatures(sets(3, 0)).nearest(1, approximate=True)
    with pytest.raises(UserError, match="eta must be at least 0 for sets"):
        fuse_generated(SetFeatures(sets(2, 0)), SetFeatures(sets(2, 0)[:, None]), eta=-1)


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_fused_and_centralized_sets_keep_their_scale(reduction):
    features = SetFeatures(sets(6, 0))
    same = SetFeatures(features.values[:, None].repeat(1, 3, 1))
    torch.testing.assert_close(fuse_generated(features, same, 2.0, reduction).values, features.values)
    others = SetFeatures(sets(18, 1).view(6, 3, 12))
    weight = 2 if reduction == "sum" else 2 / 3
    expected = (features.values + weight * others.values.sum(1)) / (1 + 3 * weight)
    torch.testing.assert_close(fuse_generated(features, others, 2.0, reduction).values, expected)
    torch.testing.assert_close(fuse_generated(features, others, 0.0, reduction).values, features.values)
    members = torch.tensor([[0, 2, 5], [1, -1, -1]])
    means = torch.stack([features.values[[0, 2, 5]].mean(0), features.values[1]])
    torch.testing.assert_close(features.sums(members).values, means)
    assert features.normalized() is features


def test_identity_density_is_a_squared_jaccard_distance():
    values, pids = sets(6, 3), torch.tensor([0, 0, 0, 1, 1, 2])
    centres = torch.stack([values[pids == pid].mean(0) for pid in pids])
    expected = torch.from_numpy(naive(values, centres)).diagonal().square()
    torch.testing.assert_close(ID2(SetFeatures(values), pids), expected)
    torch.testing.assert_close(ID2(SetFeatures(9 * values), pids), expected)
