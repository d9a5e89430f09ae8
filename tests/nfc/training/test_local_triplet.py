"""The losses of AlignedReID++ against the authors' figures."""

import pytest
import torch

from NFC.networks.reid_network import Branch
from NFC.training.losses.identity import Identity
from NFC.training.losses.local_triplet import LocalTriplet
from NFC.training.losses.margin_triplet import MarginTriplet
from NFC.training.losses.mining import batch_hard, euclidean
from pose2id.errors import UserError
from tests.nfc.networks.official import error, golden

STORED = golden("stripes_grid/alignedreid_triplet")
LABELS = STORED["labels"]
TOLERANCE = 2e-5


def branch() -> Branch:
    features, stripes = STORED["global_feat"].clone(), STORED["local_feat"].mT.contiguous()
    return Branch(features.requires_grad_(), stripes=stripes.requires_grad_())


def test_golden():
    given = branch()
    distances = euclidean(given.features)
    triplets = batch_hard(distances, LABELS)
    assert torch.equal(triplets.positive, STORED["p_inds"]) and torch.equal(triplets.negative, STORED["n_inds"])
    for found, name in zip(triplets.of(distances), ("dist_ap", "dist_an"), strict=True):
        assert error(found, STORED[name]) < TOLERANCE
    whole, local = MarginTriplet()(given, LABELS), LocalTriplet()(given, LABELS)
    assert error(whole, STORED["global_loss"]) < TOLERANCE and error(local, STORED["local_loss"]) < TOLERANCE
    (whole + local).backward()
    assert error(given.features.grad, STORED["grad_global"]) < TOLERANCE
    assert error(given.stripes.grad.mT, STORED["grad_local"]) < TOLERANCE


def test_features_are_not_normalised_to_mine():
    scaled = STORED["global_feat"] * torch.linspace(1, 3, 12)[:, None]
    others = LocalTriplet()(Branch(scaled, stripes=branch().stripes), LABELS)
    assert not torch.isclose(others, STORED["local_loss"])


def test_stripes_that_mine_their_own_triplets():
    local = LocalTriplet(mining="local")(branch(), LABELS)
    distances = STORED["local_dist"]
    rows = torch.arange(12)
    terms = 0.3 + distances[rows, STORED["own_p_inds"]] - distances[rows, STORED["own_n_inds"]]
    assert error(local, terms.clamp(min=0).mean()) < 1e-4
    assert (STORED["own_p_inds"] != STORED["p_inds"]).sum() == 8 and (
        STORED["own_n_inds"] != STORED["n_inds"]
    ).sum() == 11
    with pytest.raises(UserError, match="mining must be one of global, local, got both"):
        LocalTriplet(mining="both")


def test_any_number_of_pictures_a_person():
    kept, labels = [0, 1, 2, 4, 5, 8], LABELS[[0, 1, 2, 4, 5, 8]]  # 3, 2 and 1
    given = Branch(STORED["global_feat"][kept], stripes=STORED["local_feat"].mT[kept])
    distances, local = euclidean(given.features), STORED["local_dist"][kept][:, kept]
    terms = []
    for anchor in range(5):
        same = [i for i in range(6) if labels[i] == labels[anchor] and i != anchor]
        other = [i for i in range(6) if labels[i] != labels[anchor]]
        positive = max(same, key=lambda i: distances[anchor, i])
        negative = min(other, key=lambda i: distances[anchor, i])
        terms.append(max(0.0, 0.3 + float(local[anchor, positive] - local[anchor, negative])))
    assert float(LocalTriplet()(given, labels)) == pytest.approx(sum(terms) / 5, abs=1e-4)


def test_label_smoothing_spreads_over_all_classes():
    stored = golden("stripes_grid/label_smoothing")
    loss = Identity(label_smoothing=0.1)(Branch(scores=stored["logits"]), stored["targets"])
    assert error(loss, stored["alignedreid_eps_over_K"]) < TOLERANCE
