"""Mutual neighbours that are each other's only ones get equal features, to the last bit, in every kind."""

import numpy as np
import pytest
import torch

from NFC import NFC, fuse_generated
from NFC.features.kinds import KINDS
from NFC.steps.nfc import members
from tests.nfc.examples import example


def cliques(kind: str, people: int = 40, size: int = 4) -> tuple:
    """Samples of people far apart, `size` of each, in a random order; and who they are."""
    rng = torch.Generator().manual_seed(1)
    who = torch.arange(people).repeat(size)[torch.randperm(people * size, generator=rng)]
    flat = example(kind, people).flatten()[who] + 1e-3 * torch.rand(people * size, example(kind, 1).size, generator=rng)
    return KINDS[kind].unflatten(flat.clamp(max=1), *KINDS[kind].example[1]), who


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_clique_has_one_feature(kind, dtype):
    features, who = cliques(kind)
    features = KINDS[kind].unflatten(features.flatten().to(dtype), *KINDS[kind].example[1]).normalized()
    sums = NFC(features, k1=3, k2=3).normalized().flatten()
    for person in who.unique():
        own = sums[who == person]
        assert torch.equal(own, own[:1].expand_as(own))


def test_who_is_summed_is_listed_in_ascending_order():
    nearest = torch.tensor([[3, 1], [0, 2], [1, 3], [0, 2]])
    assert members(nearest, 2, 2).tolist() == [[0, 1, 3], [0, 1, 2], [1, 2, 3], [0, 2, 3]]
    assert members(nearest, 1, 1).tolist() == [[0, 3], [1, -1], [2, -1], [0, 3]]
    assert members(torch.empty(1, 0, dtype=torch.int64), 2, 2).tolist() == [[0]]


def test_sums_are_those_of_a_plain_loop():
    rng = np.random.default_rng(0)
    feats = rng.normal(size=(30, 5)).astype(np.float32)
    distances = np.square(feats[:, None].astype(np.float64) - feats).sum(2)
    np.fill_diagonal(distances, np.inf)
    nearest = distances.argsort(axis=1, kind="stable")[:, :4]
    for i, centralized in enumerate(NFC(feats, k1=3, k2=4)):
        own = sorted([i, *(j for j in nearest[i, :3] if i in nearest[j])])
        total = feats[own[0]].copy()
        for j in own[1:]:
            total += feats[j]
        np.testing.assert_array_equal(centralized, total)
    generated = rng.normal(size=(30, 6, 5)).astype(np.float32)
    total = generated[:, 0].copy()
    for m in range(1, 6):
        total += generated[:, m]
    np.testing.assert_array_equal(fuse_generated(feats, generated, 0.5), feats + np.float32(0.5) * total)
