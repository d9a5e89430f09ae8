"""Batches of pairs: who is paired with whom, and what is logged of the losses of pairs."""

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from NFC.networks import Preprocessing
from NFC.networks.reid_network import Branch, Pairs
from NFC.training.augmentation import AugmentationConfig
from NFC.training.batches import Batches
from NFC.training.data import DataConfig, TrainingSet
from NFC.training.losses.verification import Verification
from NFC.training.schemes.pairs import PairScheme
from pose2id.errors import UserError

STILL = AugmentationConfig(flip=0.0, pad=0, erase=0.0)


def source(labels: list[int], camids: list[int], batch_size: int = 12, **settings):
    pictures = np.random.default_rng(0).integers(0, 256, (len(labels), 8, 4, 3), dtype=np.uint8)
    config = DataConfig(pictures_per_person=2)
    batches = Batches(
        TrainingSet(pictures, np.array(labels), np.array(camids)), config, STILL, batch_size, Preprocessing(8, 4)
    )
    return PairScheme(**settings).start(None, batches)


LABELS = [label for label in range(8) for _ in range(4)]
CAMERAS = [0, 0, 1, 2] * 8


def drawn(pairs_of, step: int = 0):
    return pairs_of([torch.Generator().manual_seed(step)])


@pytest.mark.parametrize("negatives", [1, 2, 4])
def test_one_pair_of_a_person_to_so_many_of_two(negatives):
    batch = drawn(source(LABELS, CAMERAS, negatives=negatives))
    first, second = batch["pairs"].T
    same = (batch["labels"][first] == batch["labels"][second]).view(-1, 1 + negatives)
    assert same.tolist() == [[True] + [False] * negatives] * (12 // (2 + negatives))
    assert batch["pairs"].unique().tolist() == list(range(12))


def test_pairs_of_a_person_come_from_two_cameras_where_there_are_two():
    labels, camids = [*LABELS, 8, 8], [*CAMERAS, 1, 1]
    seen = {True: set(), False: set()}
    for other_camera in seen:
        pairs_of = source(labels, camids, other_camera=other_camera)
        for step in range(150):
            batch = drawn(pairs_of, step)
            a, b = batch["pairs"][::3].T
            rows = zip(batch["labels"][a].tolist(), (batch["camids"][a] == batch["camids"][b]).tolist(), strict=True)
            seen[other_camera] |= set(rows)
            assert (batch["rows"][a] != batch["rows"][b]).all()
    assert {label for label, alike in seen[True] if alike} == {8}  # seen by one camera alone
    assert {label for label, alike in seen[False] if alike} == set(range(9))


def test_mirrored_pairs_stand_behind():
    plain, both = (drawn(source(LABELS, CAMERAS, mirrored=mirrored)) for mirrored in (False, True))
    assert torch.equal(both["pictures"], torch.cat([plain["pictures"], plain["pictures"].flip(-1)]))
    assert torch.equal(both["pairs"], torch.cat([plain["pairs"], plain["pairs"] + 12]))
    for name in ("labels", "camids", "rows", "generated"):
        assert torch.equal(both[name], torch.cat([plain[name], plain[name]]))


def test_a_person_seen_once_is_only_another():
    pairs_of = source([0, 0, 0, 1, 2], [0, 1, 2, 0, 0], batch_size=4)
    for step in range(20):
        batch = drawn(pairs_of, step)
        assert batch["labels"][batch["pairs"][:, 0]].tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (
            {"batch_size": 10},
            "groups of 4, an anchor, one of its person and 2 of others; give a loop.batch_size that 4",
        ),
        ({"negatives": 0}, "negatives must be at least 1, got 0"),
    ],
)
def test_what_cannot_be_is_one_line(settings, told):
    with pytest.raises(UserError, match=told) as error:
        source(LABELS, CAMERAS, **settings)
    assert "\n" not in str(error.value)
    with pytest.raises(UserError, match="one of them in two pictures"):
        source([0, 1, 2, 3], [0, 0, 0, 0], batch_size=4)


def test_verification_is_the_cross_entropy_of_two_classes():
    scores, rows = torch.randn(3, 2), torch.tensor([[0, 1], [0, 2], [1, 2]])
    value = Verification()(Branch(pairs=Pairs(rows, scores=scores)), torch.tensor([4, 4, 6]))
    torch.testing.assert_close(value, cross_entropy(scores, torch.tensor([1, 0, 0])))
