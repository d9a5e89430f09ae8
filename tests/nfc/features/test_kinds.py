"""What every entry of `KINDS` has to keep, whatever it holds."""

from dataclasses import fields, replace

import pytest
import torch

from NFC import ID2, NFC, fuse_generated
from NFC.features.kinds import KINDS, Layout, as_kind, unflatten
from NFC.matching import MATCHERS
from NFC.steps.nfc import mutual_neighbours
from pose2id.errors import UserError
from tests.nfc.examples import example, example_set

pytestmark = pytest.mark.parametrize("kind", KINDS)


def equal(a, b, **tolerance):
    for field in fields(a):
        torch.testing.assert_close(getattr(a, field.name), getattr(b, field.name), **tolerance)


def test_flat_and_back(kind):
    features, generated = example(kind, 7), example(kind, 7, 2)
    assert features.layout == Layout(kind, KINDS[kind].example[1])
    for whole in (features, generated):
        assert whole.flatten().shape == (*whole.flatten().shape[:-1], KINDS[kind].example[0])
        equal(unflatten(whole.flatten(), whole.layout), whole)
    assert len(features) == 7 and features.size == KINDS[kind].example[0]


def test_rows_parts_and_all_together(kind):
    features = example(kind, 9)
    equal(type(features).cat(features.split(4)), features)
    order = torch.tensor([4, 0, 8])
    equal(unflatten(features.flatten()[order], features.layout), features[order])
    equal(features[order].to("cpu"), features[torch.arange(9)][order])


def test_normalising_twice_is_normalising(kind):
    features = example(kind, 6).normalized()
    equal(features.normalized(), features)


def test_its_own_matcher_compares_it(kind):
    assert kind in MATCHERS[KINDS[kind].matcher].kinds


def test_neighbours_are_the_nearest_others(kind):
    features = example(kind, 12).normalized()
    nearest = features.nearest(3)
    assert nearest.shape == (12, 3) and nearest.dtype == torch.int64
    assert not (nearest == torch.arange(12)[:, None]).any()
    assert features.nearest(50).shape == (12, 11) and features[:1].nearest(4).shape == (1, 0)
    matcher = MATCHERS[features.matcher]()
    samples = replace(example_set(kind, 12), feats=features)
    distances = matcher.distances(samples, samples)[torch.arange(12)].double().fill_diagonal_(torch.inf)
    assert torch.equal(distances.argsort(dim=1, stable=True)[:, :3], nearest)


def test_sums_are_of_the_listed_members(kind):
    features = example(kind, 5)
    alone = features.sums(torch.arange(5)[:, None])
    equal(features.sums(torch.tensor([[k, -1, -1] for k in range(5)])), alone)
    pairs = features.sums(torch.tensor([[0, 1], [1, 0], [2, -1], [3, 4], [4, 3]]))
    equal(pairs[:1], pairs[1:2])
    equal(pairs[2:3], alone[2:3])


def test_centralization_is_written_once_over_kinds(kind):
    features = example(kind, 15, seed=3).normalized()
    nearest = features.nearest(3)
    members = torch.cat([torch.arange(15)[:, None], mutual_neighbours(nearest, 2, 3)], dim=1)
    equal(NFC(features, k1=2, k2=3), features.sums(members))
    equal(NFC(features[:1]), features[:1].sums(torch.zeros(1, 1, dtype=torch.int64)))
    generated = example(kind, 15, 2, seed=4).normalized()
    equal(fuse_generated(features, generated, 0.5, "mean"), features.fuse(generated, 0.5, "mean"))
    assert fuse_generated(features[:1], generated[:1]).layout == features.layout


def test_identity_density_is_zero_for_equal_pictures_of_a_person(kind):
    features = example(kind, 3)[torch.tensor([0, 1, 2, 0, 1, 2])]
    densities = ID2(features, [4, 7, 9, 4, 7, 9])
    torch.testing.assert_close(densities, torch.zeros(6), atol=1e-6, rtol=0)
    assert ID2(example(kind, 4), [1, 1, 1, 1]).min() > 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_stay_and_are_close(kind, dtype):
    features, exact = example(kind, 10, dtype=dtype).normalized(), example(kind, 10).normalized()
    members = torch.tensor([[k, (k + 1) % 10] for k in range(10)])
    summed = features.sums(members)
    assert summed.flatten().dtype == dtype
    torch.testing.assert_close(summed.flatten().float(), exact.sums(members).flatten(), rtol=0.05, atol=0.05)


def test_unusable_numbers_are_one_line(kind):
    flat = example(kind, 4).flatten()
    for bad in (torch.nan, torch.inf):
        spoiled = flat.clone()
        spoiled[2, 0] = bad
        with pytest.raises(UserError, match=r"^feats") as caught:
            as_kind(unflatten(spoiled, Layout(kind, KINDS[kind].example[1])), "feats")
        assert len(str(caught.value).splitlines()) == 1
    with pytest.raises(UserError, match=r"^generated"):
        fuse_generated(example(kind, 4), example(kind, 4, 2, 2))
    with pytest.raises(UserError, match="generated must be"):
        fuse_generated(example(kind, 4), example(kind, 3, 2))
