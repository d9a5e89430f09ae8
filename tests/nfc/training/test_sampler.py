"""PK batches, and what cannot be drawn."""

from collections import Counter

import numpy as np
import pytest
import torch

from NFC.training.data import DataConfig
from NFC.training.sampler import PKSampler, RandomSampler
from pose2id.errors import UserError


def labelled(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """20 people with 1 to 9 pictures each from up to 5 cameras, in no order."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(20), rng.integers(1, 10, 20)))
    return labels, rng.integers(0, 5, len(labels))


@pytest.mark.parametrize("seed", range(3))
def test_every_batch_has_p_people_with_k_pictures(seed):
    labels, camids = labelled(seed)
    sampler = PKSampler(labels, camids, batch_size=24, pictures_per_label=4)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(20):
        rows = sampler(generator)
        drawn = labels[rows].reshape(6, 4)
        assert (drawn == drawn[:, :1]).all() and len(set(drawn[:, 0])) == 6
        for person, own in zip(drawn[:, 0], rows.reshape(6, 4), strict=True):
            there = np.flatnonzero(labels == person)
            assert len(set(own)) == min(4, len(there))  # pictures are repeated only where there are too few
            cameras = Counter(camids[row] for row in dict.fromkeys(own))
            assert len(cameras) == min(4, len(set(camids[there])))  # as many cameras as can be


def test_all_pictures_get_their_turn_and_a_seed_repeats_itself():
    labels, camids = labelled(7)
    sampler = PKSampler(labels, camids, 24, 4)
    generator = torch.Generator().manual_seed(0)
    seen = Counter(row for _ in range(200) for row in sampler(generator))
    assert set(seen) == set(range(len(labels)))
    people = Counter()
    for row, count in seen.items():
        people[labels[row]] += count
    assert min(people.values()) > 0.5 * max(people.values())  # everybody as often, however many pictures there are
    again = [PKSampler(labels, camids, 24, 4)(torch.Generator().manual_seed(5)) for _ in range(2)]
    assert np.array_equal(*again)


@pytest.mark.parametrize(("batch_size", "each"), [(24, 1), (25, 4), (4, 4), (96, 4)])
def test_batches_that_cannot_be_are_one_line(batch_size, each):
    labels, camids = labelled(0)
    with pytest.raises(UserError) as told:
        PKSampler(labels, camids, batch_size, each)
    assert "\n" not in str(told.value) and str(batch_size // each if batch_size == 96 else "") in str(told.value)


def test_random_batches_are_different_pictures_of_anybody():
    labels, camids = labelled(3)
    sampler, generator = RandomSampler(labels, camids, 24, 4), torch.Generator().manual_seed(0)
    seen = Counter()
    for _ in range(300):
        rows = sampler(generator)
        assert rows.shape == (24,) and rows.dtype == np.int64 and len(set(rows)) == 24
        seen.update(rows.tolist())
    assert set(seen) == set(range(len(labels)))
    assert max(seen.values()) < 1.6 * min(seen.values())  # every picture as often, so that people differ
    again = [sampler(torch.Generator().manual_seed(5)) for _ in range(2)]
    assert np.array_equal(*again)


def test_more_pictures_than_there_are_is_one_line():
    labels, camids = labelled(0)
    with pytest.raises(UserError, match=f"cannot be drawn from {len(labels)}; take a smaller batch"):
        RandomSampler(labels, camids, len(labels) + 1, 4)
    with pytest.raises(UserError, match=r"data\.sampler 'all' is not one of: people, random"):
        DataConfig(sampler="all")
