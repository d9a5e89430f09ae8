"""Hard pairs: those that a network takes for one person, found as by judging all, taught to its last layers."""

import numpy as np
import pytest
import torch

from NFC.networks.baseline import NETWORK as BASELINE
from NFC.networks.idla import IDLA, IDLASizes
from NFC.networks.siamese_lstm import SiameseLSTM
from NFC.training.augmentation import AugmentationConfig
from NFC.training.batches import Batches, Source
from NFC.training.data import DataConfig, TrainingSet
from NFC.training.losses import read_losses
from NFC.training.objective import ReIDObjective
from NFC.training.schemes.hard_pairs import HardPairScheme
from NFC.training.schemes.pairs import PairScheme
from pose2id.errors import UserError

LABELS = np.array([0, 0, 1, 1, 1, 2, 2, 3])  # the last is seen once, and so is no anchor
CAMERAS = np.array([0, 1, 0, 1, 1, 0, 2, 0])
STILL = AugmentationConfig(flip=0.0, pad=0, erase=0.0)
EVERY = {"after": 3, "candidates": 2000, "kept": 9}  # of 41 pairs; so often drawn that all are judged


def network_of(kind=IDLA) -> torch.nn.Module:
    torch.manual_seed(0)
    return kind(IDLASizes(40, 24, channels=4, hidden=8)) if kind is IDLA else kind(kind.preset_sizes("mini"))


def batches_of(network) -> Batches:
    sizes = network.sizes
    pixels = np.random.default_rng(0).integers(0, 256, (len(LABELS), sizes.height, sizes.width, 3), dtype=np.uint8)
    pictures = TrainingSet(pixels, LABELS, CAMERAS)
    return Batches(pictures, DataConfig(pictures_per_person=4), STILL, 12, network.preprocessing())


def drawn(source: Source, step: int) -> dict[str, torch.Tensor]:
    source.before_step(step)
    return source([torch.Generator().manual_seed(step)])


def pairs_of(batch: dict[str, torch.Tensor]) -> list[tuple[int, int]]:
    return [tuple(pair) for pair in batch["rows"][batch["pairs"]].tolist()]


def naive(network, kept: int) -> list[tuple[int, int]]:
    """Every anchor beside everybody else, one pair after the other."""
    pictures = batches_of(network)
    pixels = torch.from_numpy(pictures.pictures.pictures).permute(0, 3, 1, 2) / 255
    shown = network.preprocessing().normalise(pixels)
    likeness = {}
    with torch.no_grad():
        for a in np.flatnonzero(LABELS != 3):
            for b in np.flatnonzero(LABELS[a] != LABELS):
                maps = network.eval().maps(shown[[a, b]])
                likeness[int(a), int(b)] = float(network.pair_scores(maps[:1], maps[1:]))
    return sorted(likeness, key=likeness.get, reverse=True)[:kept]


def test_until_then_batches_are_those_of_pairs():
    network = network_of()
    plain = PairScheme().start(network, batches_of(network))
    source = HardPairScheme(**EVERY).start(network, batches_of(network))
    for step in range(3):
        batch, expected = drawn(source, step), drawn(plain, step)
        assert all(torch.equal(batch[name], expected[name]) for name in expected)
    assert pairs_of(drawn(source, 3)) != pairs_of(drawn(plain, 3))


def test_the_likeliest_pairs_are_found_and_drawn():
    network = network_of()
    source = HardPairScheme(**EVERY).start(network, batches_of(network))
    drawn(source, 3)
    expected = naive(network, 9)
    assert [tuple(pair) for pair in source.hard.tolist()] == expected
    seen = set()
    for step in range(3, 60):
        batch = drawn(source, step)
        same = batch["labels"][batch["pairs"]].diff(dim=1)[:, 0] == 0
        assert same.view(-1, 3).tolist() == [[True, False, False]] * 3
        seen |= {pair for pair, alike in zip(pairs_of(batch), same.tolist(), strict=True) if not alike}
    assert seen == set(expected)


def test_the_last_layers_alone_learn_from_them():
    network = network_of()
    source = HardPairScheme(**EVERY).start(network, batches_of(network))
    objective = ReIDObjective(network, read_losses([{"name": "verification"}]))
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    for first, last, learns in ((0, 3, ("",)), (3, 5, ("fc1", "fc2"))):
        before = {name: tensor.clone() for name, tensor in network.named_parameters()}
        for step in range(first, last):
            batch = drawn(source, step)
            objective(batch, [torch.Generator()])[0].backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        changed = {name for name, tensor in network.named_parameters() if not torch.equal(tensor, before[name])}
        assert changed == {name for name in before if name.startswith(learns)}
        assert network.training


def test_a_run_goes_on_with_its_pairs():
    """They are those of the step at which they were found, and are not judged again."""
    network = network_of()
    source = HardPairScheme(**EVERY).start(network, batches_of(network))
    assert source.state_dict() == {}
    drawn(source, 3)
    other = network_of()
    with torch.no_grad():
        other.fc2.weight.neg_()
    resumed = HardPairScheme(**EVERY).start(other, batches_of(other))
    resumed.load_state_dict(source.state_dict())
    assert pairs_of(drawn(resumed, 4)) == pairs_of(drawn(source, 4))
    resumed.load_state_dict({})
    assert pairs_of(drawn(resumed, 4)) != pairs_of(drawn(source, 4))


def test_embeddings_are_judged_by_their_distance():
    network = network_of(SiameseLSTM)
    source = HardPairScheme(**EVERY).start(network, batches_of(network))
    drawn(source, 3)
    pixels = torch.from_numpy(source.batches.pictures.pictures).permute(0, 3, 1, 2) / 255
    with torch.no_grad():
        features = network.eval()(network.preprocessing().normalise(pixels))
    distances = torch.cdist(features, features)
    distances[torch.from_numpy(LABELS[:, None] == LABELS)] = torch.inf
    assert tuple(source.hard[0]) in {
        divmod(int(distances[:7].argmin()), 8),
        divmod(int(distances[:7].argmin()), 8)[::-1],
    }


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"after": -1}, "after cannot be below 0, got -1"),
        ({"kept": 0}, r"kept must be from 1 to candidates \(50000\), got 0"),
        ({"kept": 8, "candidates": 7}, r"kept must be from 1 to candidates \(7\), got 8"),
        ({"negatives": 0}, "negatives must be at least 1, got 0"),
    ],
)
def test_settings_that_cannot_be(settings, told):
    with pytest.raises(UserError, match=told):
        HardPairScheme(**settings)


def test_other_networks_have_no_hard_pairs():
    network = BASELINE(BASELINE.preset_sizes("mini"))
    with pytest.raises(UserError, match="'baseline' judges no pairs"):
        HardPairScheme().start(network, None)
