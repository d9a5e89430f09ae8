"""RBNet: its looks, and its soft triplet loss, which is the batch-hard one with a soft margin."""

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import normalize

from NFC.networks.blocks.reverse_backbone import drawn_mask, heat_map_loss
from NFC.networks.rbnet import RBNet, RBNetSizes
from NFC.networks.reid_network import Inputs
from NFC.training.losses import batch_hard_triplet_loss
from NFC.training.losses.mining import batch_hard, euclidean
from pose2id.errors import UserError
from tests.nfc.networks.official import golden

GOLDEN = golden("pure")


def test_equation_11():
    """With the plus sign and the mean; as printed it is undefined once a triplet is right."""
    features, labels = GOLDEN["rb_f"].clone().requires_grad_(), GOLDEN["rb_y"]
    distances = euclidean(features)
    positive, negative = batch_hard(distances, labels).of(distances)
    torch.testing.assert_close(positive, GOLDEN["rb_dp"], rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(negative, GOLDEN["rb_dn"], rtol=1e-6, atol=1e-6)
    loss = batch_hard_triplet_loss(features, labels)
    loss.backward()
    torch.testing.assert_close(loss.double(), GOLDEN["rb_stri"], rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(features.grad, GOLDEN["rb_grad"], rtol=1e-6, atol=1e-6)


def small(**changes) -> RBNet:
    torch.manual_seed(0)
    return RBNet(replace(RBNet.preset_sizes("mini"), num_classes=3, **changes))


def shown() -> torch.Tensor:
    return torch.randn(6, 3, 64, 32, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def test_a_mask_of_ones_gives_the_first_look():
    network = small().eval()
    mask, heat_maps = network.reverse(network.backbone.maps(shown()))
    assert mask.eq(1).all() and mask.shape == (6, 1, 16, 8) and heat_maps.shape == (6, 17, 32, 16)
    looks = network.look(shown())
    assert torch.equal(looks.first, looks.second)
    assert torch.equal(network(shown()), small(masked=False).eval()(shown()))
    network.reverse.gain.fill_(-0.5)
    assert not torch.allclose(network(shown()), normalize(looks.first), rtol=1e-3)


@torch.no_grad()
def test_a_drawn_mask():
    heat_maps = torch.full((1, 17, 40, 20), -0.2)
    heat_maps[0, 3, 20, 10] = 2.0
    mask = drawn_mask(heat_maps)
    assert mask.shape == (1, 1, 40, 20) and mask[0, 0, 20, 10] == 1.5 and mask.min() == 0.5
    assert 0.5 < mask[0, 0, 23, 10] < 1.5 and mask[0, 0, 25, 10] == 0.5
    network, given = small(drawn=True).eval(), Inputs(shown(), heat_maps=torch.rand(6, 17, 16, 8))
    looks = network.look(shown())
    torch.testing.assert_close(network(shown()), normalize(looks.second))
    assert not torch.allclose(looks.first, looks.second)
    assert "reverse.heat." not in network.unused_at_test() and "reverse.gain" in network.unused_at_test()
    assert set(network.outputs(given, torch.arange(6) % 3)[1]) == {"heat_maps"}


@torch.no_grad()
def test_shapes_at_full_size():
    with torch.device("meta"):
        network = RBNet(RBNetSizes())
        mask, heat_maps = network.reverse(network.backbone.maps(torch.empty(2, 3, 256, 128)))
    assert mask.shape == (2, 1, 64, 32) and heat_maps.shape == (2, 17, 128, 64)


def test_heat_map_loss():
    torch.manual_seed(0)
    predicted, target = torch.rand(2, 17, 6, 4), torch.rand(2, 17, 6, 4)
    target[1, 5:] = 0
    terms = [
        ((1 + 20 * target[b, j]) * (predicted[b, j] - target[b, j]) ** 2).mean()
        for b in range(2)
        for j in range(17 if b == 0 else 5)
    ]
    torch.testing.assert_close(heat_map_loss(predicted, target, 20.0), sum(terms) / len(terms))
    assert heat_map_loss(predicted, torch.zeros(2, 17, 3, 2), 20.0) == 0
    assert heat_map_loss(target[:1], target[:1], 20.0) == 0


def test_stages():
    network, labels = small().train(), torch.arange(6) % 3
    given = Inputs(shown(), heat_maps=torch.rand(6, 17, 16, 8))
    branches, own = network.outputs(given, labels)
    assert len(branches) == 2 and set(own) == {"heat_maps"}
    assert network.outputs(Inputs(shown()), labels)[1] == {}
    without = small(masked=False, detached=False).train()
    branches, own = without.outputs(given, labels)
    own["heat_maps"].backward()
    assert len(branches) == 1 == len(without.branches(given))
    assert all(parameter.grad is not None for parameter in without.backbone.parameters())
    network.enter(RBNet.BACKBONE)
    branches, own = network.outputs(given, labels)
    assert len(branches) == 1 and own == {}
    network.enter(RBNet.REVERSE)
    branches, own = network.outputs(given, labels)
    own["heat_maps"].backward()
    assert len(branches) == 1 and all(parameter.grad is None for parameter in network.backbone.parameters())
    assert all(parameter.grad is not None for parameter in network.reverse.heat.parameters())
    with pytest.raises(UserError, match="stage 'reverse' learns heat maps"):
        network.outputs(Inputs(shown()), labels)
