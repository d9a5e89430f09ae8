"""The triplet loss of MoS: golden values and gradient, the printed form in loops, and its limits."""

from pathlib import Path

import numpy as np
import pytest
import torch

from NFC.features.kinds.sets import jaccard_distances
from NFC.networks.reid_network import Branch
from NFC.training.losses.jaccard_triplet import JaccardTriplet, jaccard_triplet_loss, soft_jaccard
from pose2id.devices import AtOnce
from pose2id.errors import UserError

GOLDEN = np.load(Path(__file__).parents[2] / "golden" / "asymmetric" / "mos.npz")
G, LABELS = torch.from_numpy(GOLDEN["g"]), torch.from_numpy(GOLDEN["y"])
TAU, DELTA = float(GOLDEN["tau"]), float(GOLDEN["delta"])


def printed(a, b, tau):
    """softmin and softmax as weighted sums of the two values."""
    both = torch.stack([a, b])
    smallest, largest = ((both * (sign * tau * both).softmax(0)).sum() for sign in (-1, 1))
    return smallest / largest


@pytest.mark.parametrize(
    ("key", "tau"), [("", TAU), ("_tau1", 1.0), ("_tau50", 50.0), ("_tau10000", 1e4)], ids=["10", "1", "50", "10000"]
)
def test_golden_similarity(key, tau):
    found = soft_jaccard(G[:, None], G, tau)
    np.testing.assert_allclose(found, GOLDEN[f"jaccard_soft{key}"], rtol=0, atol=1e-9)


def test_it_is_the_printed_form_and_becomes_the_true_one():
    a, b = G[:5], G[7:12]
    found = soft_jaccard(a, b, 3.0)
    torch.testing.assert_close(found, torch.stack([printed(x, y, 3.0) for x, y in zip(a, b, strict=True)]))
    true = 1 - jaccard_distances(a, b).diagonal()
    gaps = [(soft_jaccard(a, b, tau) - true).abs().max() for tau in (1.0, 10.0, 100.0, 1e9)]
    assert gaps == sorted(gaps, reverse=True) and gaps[-1] < 1e-9
    assert soft_jaccard(torch.zeros(4), torch.zeros(4), 10.0) == 0


@pytest.mark.parametrize("block", [1, 2000, 10**7])
def test_golden_loss_and_gradient(block, monkeypatch):
    monkeypatch.setattr("NFC.training.losses.jaccard_triplet.BLOCK", AtOnce(block, block))
    features = G.clone().requires_grad_()
    total = jaccard_triplet_loss(features, LABELS, TAU, DELTA, "sum")
    assert float(total.detach()) == pytest.approx(float(GOLDEN["triplet_hard_sum"]), abs=1e-9)
    mean = jaccard_triplet_loss(features, LABELS, TAU, DELTA)
    assert float(mean.detach()) == pytest.approx(float(GOLDEN["triplet_hard_mean"]), abs=1e-9)
    total.backward()
    np.testing.assert_allclose(features.grad, GOLDEN["triplet_hard_sum_grad"], rtol=0, atol=1e-9)


def test_tau_is_in_units_of_the_features():
    loss = JaccardTriplet()
    once, tenfold = (loss(Branch((scale * G).float()), LABELS) for scale in (1, 10))
    torch.testing.assert_close(once, tenfold)
    expected = jaccard_triplet_loss(G, LABELS, 10 / float(G[G > 0].mean()))
    torch.testing.assert_close(once.double(), expected, rtol=1e-5, atol=1e-6)
    assert JaccardTriplet(reduction="sum")(Branch(G.float()), LABELS) == pytest.approx(24 * float(once), rel=1e-5)


def test_empty_pictures_have_finite_gradients():
    features = torch.zeros(4, 6, requires_grad=True)
    loss = JaccardTriplet()(Branch(features), torch.tensor([0, 0, 1, 1]))
    loss.backward()
    assert loss.isfinite() and features.grad.isfinite().all()


def test_mistakes_are_told_in_one_line():
    with pytest.raises(UserError, match="features are sets and cannot hold numbers below 0"):
        JaccardTriplet()(Branch(G - 1), LABELS)
    for bad, told in (({"tau": 0.0}, "tau must be above 0"), ({"reduction": "max"}, "mean or sum, got 'max'")):
        with pytest.raises(UserError, match=told):
            JaccardTriplet(**bad)
