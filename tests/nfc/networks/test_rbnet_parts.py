"""Pieces of RBNet: its masked second look and its soft triplet loss, which is the batch-hard one with a soft margin."""

import torch

from NFC.networks.blocks.masked_pictures import masked
from NFC.training.losses import batch_hard_triplet_loss
from NFC.training.losses.mining import batch_hard, euclidean
from tests.nfc.networks.official import golden

GOLDEN = golden("pure")


def test_masked_pictures():
    torch.testing.assert_close(masked(GOLDEN["rb_x"], GOLDEN["rb_m"]), GOLDEN["rb_masked"], rtol=1e-5, atol=1e-5)
    ones = torch.ones(2, 1, 2, 1)
    assert torch.equal(masked(GOLDEN["rb_x"], ones), GOLDEN["rb_x"])


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
