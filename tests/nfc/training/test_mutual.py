"""Two networks that learn from each other."""

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import softmax

from NFC.networks.reid_network import Branch, Inputs
from NFC.training.losses import read_losses
from NFC.training.mutual import Mutual, mutual_losses
from NFC.training.network import NetworkConfig, fixed_settings
from NFC.training.objective import ReIDObjective
from pose2id.errors import UserError
from tests.nfc.networks.zoo import small_network


def branch(seed: int) -> Branch:
    generator = torch.Generator().manual_seed(seed)
    features, scores = (torch.randn(4, size, generator=generator, requires_grad=True) for size in (5, 3))
    return Branch(features, scores)


def test_losses_by_hand_and_where_their_gradients_go():
    first, second = branch(0), branch(1)
    losses = mutual_losses(first, second)
    p, q = softmax(first.scores, 1), softmax(second.scores, 1)
    divergences = (q * (q / p).log()).sum(1).mean() + (p * (p / q).log()).sum(1).mean()
    torch.testing.assert_close(losses["mutual_scores"], divergences)
    matrices = [(given.features[:, None] - given.features).square().sum(2).sqrt() for given in (first, second)]
    torch.testing.assert_close(losses["mutual_distances"], 2 * (matrices[0] - matrices[1]).square().mean())

    losses["mutual_scores"].backward()
    torch.testing.assert_close(first.scores.grad, ((p - q) / 4).detach())  # of KL(q || p) alone
    torch.testing.assert_close(second.scores.grad, ((q - p) / 4).detach())
    same = mutual_losses(first, first)
    assert same["mutual_scores"].abs() < 1e-6 and same["mutual_distances"] == 0


def test_scores_or_features_alone_will_do_but_not_nothing():
    first, second = branch(0), branch(1)
    assert mutual_losses(replace(first, scores=None), second).keys() == {"mutual_distances"}
    assert mutual_losses(replace(first, features=None), second).keys() == {"mutual_scores"}
    with pytest.raises(UserError, match="leave out mutual"):
        mutual_losses(Branch(), second)


def test_both_networks_learn_and_the_first_is_exported():
    network = small_network("alignedreid, mutual")
    first, second = network.first, network.second
    assert isinstance(network, Mutual) and not torch.equal(first.conv1.weight, second.conv1.weight)
    assert network.exported().keys() == first.state_dict().keys() and network.name == "alignedreid"
    batch = {
        "pictures": torch.rand(6, 3, 64, 32),
        "labels": torch.tensor([0, 0, 1, 1, 2, 2]),
        "camids": torch.zeros(6, dtype=torch.int64),
        "generated": torch.zeros(6, dtype=torch.bool),
    }
    losses = read_losses([{"name": "identity"}, {"name": "local_triplet"}])
    loss, logged = ReIDObjective(network, losses)(batch, [])
    assert logged.keys() == {"identity", "local_triplet", "mutual_scores", "mutual_distances"}
    alone = [ReIDObjective(one, losses)(batch, [])[0] for one in (first, second)]
    torch.testing.assert_close(loss, sum(alone) + logged["mutual_scores"] + logged["mutual_distances"])
    loss.backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    assert len(network.branches(Inputs(batch["pictures"]))) == 2


def test_a_run_cannot_become_mutual():
    alone, both = (fixed_settings(NetworkConfig(mutual=mutual)) for mutual in (False, True))
    assert alone != both and alone.keys() == both.keys()
