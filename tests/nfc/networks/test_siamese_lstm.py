from dataclasses import replace

import pytest
import torch

from NFC.networks.reid_network import Branch, Inputs, Pairs
from NFC.networks.siamese_lstm import SiameseLSTM, SiameseLSTMSizes
from NFC.training.losses.contrastive_pairs import ContrastivePairs
from pose2id.errors import UserError
from tests.nfc.networks.learning import TOLERANCE, check_learns
from tests.nfc.networks.official import error, golden, manifest, shapes

SMALL = SiameseLSTMSizes(64, 32, stripes=4, dim=16, hidden=16, embedding=32)


def network(**changes) -> SiameseLSTM:
    torch.manual_seed(0)
    return SiameseLSTM(replace(SMALL, **changes)).eval()


@torch.inference_mode()
def test_golden():
    expected = golden("stripes_grid/slstm")
    net = network(stripes=6, dim=12, hidden=8, embedding=10)
    weights = {name.removeprefix("weight/"): tensor for name, tensor in expected.items() if name.startswith("weight/")}
    own = {name: t for name, t in shapes(net.state_dict()).items() if name.startswith(("lstm", "fc"))}
    assert own == shapes(manifest("stripes_grid/slstm"))
    net.load_state_dict(weights, strict=False)
    assert error(net.read(expected["stripes"]), expected["hidden"]) < TOLERANCE
    assert error(net.embed(expected["stripes"]), expected["embedding"]) < TOLERANCE


def test_golden_losses():
    """Pictures 0 and 2 show one person, 1 and 3 two."""
    expected = golden("stripes_grid/slstm")
    features, rows = expected["embedding"], torch.tensor([[0, 2], [1, 3]])
    distances = (features[rows[:, 0]] - features[rows[:, 1]]).norm(dim=1)
    branch, labels = Branch(pairs=Pairs(rows, distances)), torch.tensor([5, 1, 5, 2])
    for margin, name in ((1.0, "contrastive_margin_1"), (0.5, "contrastive_margin_05")):
        torch.testing.assert_close(ContrastivePairs(margin=margin)(branch, labels), expected[name])
    by_hand = (distances[0] ** 2 + (2 - distances[1]) ** 2) / 2
    torch.testing.assert_close(ContrastivePairs(margin=2.0)(branch, labels), by_hand)


@torch.inference_mode()
@pytest.mark.parametrize("changes", [{}, {"readout": "last"}, {"recurrent": False}])
def test_the_order_of_the_stripes_matters(changes):
    net, picture = network(**changes), torch.rand(2, 3, 64, 32)
    upside_down = picture.unflatten(2, (4, 16)).flip(2).flatten(2, 3)  # stripes in the other order, each as it is
    assert torch.equal(net.stripe_vectors(upside_down), net.stripe_vectors(picture).flip(1))
    assert not torch.allclose(net(picture), net(upside_down), atol=1e-5, rtol=0)


@torch.inference_mode()
def test_stripes_do_not_see_each_other():
    net, picture = network(), torch.rand(1, 3, 64, 32)
    changed = picture.clone()
    changed[:, :, 16:32] = 0
    moved = (net.stripe_vectors(picture) - net.stripe_vectors(changed)).abs().sum(2)[0] > 0
    assert moved.tolist() == [False, True, False, False]


@torch.inference_mode()
def test_readout_heights_and_one_stripe():
    assert network(readout="last").fc.in_features == 16 and network().fc.in_features == 64
    assert network(stripes=5).preprocessing().height == 65
    assert network(stripes=5)(torch.rand(2, 3, 64, 32)).shape == (2, 32)
    assert network(stripes=1)(torch.rand(2, 3, 64, 32)).shape == (2, 32)
    torch.testing.assert_close(network()(torch.rand(2, 3, 64, 32)).norm(dim=1), torch.ones(2))


@pytest.mark.slow
def test_learns():
    check_learns(network())


def test_what_cannot_be_is_one_line():
    with pytest.raises(UserError, match="readout must be all or last, got 'first'"):
        network(readout="first")
    with pytest.raises(UserError, match="stripes cannot be cut"):
        network(stripes=0)
    with pytest.raises(UserError, match="scheme=pairs"):
        network().branches(Inputs(torch.rand(2, 3, 64, 32)))
    with pytest.raises(UserError, match="has no released weights"):
        SiameseLSTM.recognise({}, "sd15", "x.pth")
