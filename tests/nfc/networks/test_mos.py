"""MoS: sets out of the last map, classified behind a neck, learnt with the Jaccard triplet, ranked by Jaccard."""

from dataclasses import replace

import pytest
import torch

from NFC.chain import Chain
from NFC.features.feature_set import FeatureSet
from NFC.features.kinds import Layout, SetFeatures, unflatten
from NFC.matching.jaccard import JaccardDistances
from NFC.networks.mos import MoS, MoSSizes
from NFC.networks.reid_network import Inputs
from NFC.training.losses import read_losses
from NFC.training.objective import ReIDObjective


def small(**changes) -> MoS:
    torch.manual_seed(0)
    return MoS(replace(MoS.preset_sizes("mini"), num_classes=3, **changes))


@pytest.mark.parametrize(("backbone", "channels"), [("small", 160), ("resnet50", 2048), ("resnet50_ibn_a", 2048)])
@torch.no_grad()
def test_features_are_sets(backbone, channels):
    extractor = small(backbone=backbone).eval().extractor()
    feats = extractor(torch.randn(2, 3, 64, 32))
    assert feats.shape == (2, channels) and feats.min() >= 0 and (feats > 0).any(1).all()
    assert extractor.layout == Layout("sets", (channels,))
    assert isinstance(unflatten(feats, extractor.layout).check("feats"), SetFeatures)
    assert MoSSizes() == MoSSizes(256, 128, "resnet50", 1)


def test_the_neck_stands_before_the_classifier_alone():
    network = small().eval()
    torch.nn.init.normal_(network.bottleneck.running_mean)
    pictures = torch.randn(2, 3, 64, 32)
    (branch,) = network.branches(Inputs(pictures))
    torch.testing.assert_close(branch.features, network(pictures))
    hidden = (branch.features - network.bottleneck.running_mean) / (1 + network.bottleneck.eps) ** 0.5
    torch.testing.assert_close(branch.scores, network.classifier(hidden))


def test_it_learns_and_is_ranked_by_the_jaccard_distance():
    network, labels = small().train(), torch.arange(3).repeat_interleave(4)
    generator = torch.Generator().manual_seed(0)
    people = torch.randn(3, 3, 8, 4, generator=generator).repeat_interleave(4, 0)
    shown = torch.nn.functional.interpolate(people, scale_factor=8) + 0.5 * torch.randn(12, 3, 64, 32)
    objective = ReIDObjective(network, read_losses([{"name": "identity"}, {"name": "jaccard_triplet"}]))
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    batch = {"pictures": shown, "labels": labels, "camids": labels, "generated": torch.zeros(12, dtype=torch.bool)}
    losses = []
    for _ in range(12):
        loss, parts = objective(batch, [])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert set(parts) == {"identity", "jaccard_triplet"} and losses[-1] < 0.5 * losses[0]
    with torch.no_grad():
        feats = FeatureSet(unflatten(network.eval()(shown), network.layout), labels, labels)
    chain = Chain()
    distances = chain.match(chain.centralize(feats, "query"), chain.centralize(feats, "gallery"))
    assert isinstance(distances, JaccardDistances)
