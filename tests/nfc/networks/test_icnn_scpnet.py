"""ICNN and SCPNet: features and branches against the formula, SCPNet also against its author's outputs."""

import pytest
import torch
from PIL import Image
from torch.nn.functional import mse_loss, normalize

from NFC.networks import scpnet
from NFC.networks.icnn import ICNN
from NFC.networks.reid_network import Branch, Inputs
from NFC.networks.scpnet import SCPNet, SCPNetSizes
from NFC.training.losses import read_losses
from NFC.training.objective import ReIDObjective
from pose2id.errors import UserError
from tests.golden.recipe import uniform
from tests.nfc.networks.learning import check_learns
from tests.nfc.networks.official import checkpoint, error, golden, manifest, shapes

STEM = "stripes_grid/scpnet"
TOLERANCE = 2e-5


def small(kind, **sizes):
    torch.manual_seed(0)
    return kind(kind.Sizes(**{**kind.mini, "num_classes": 3, **sizes}))


def test_names_and_shapes_are_those_of_the_official_file():
    tensors = manifest(STEM)
    with torch.device("meta"):
        network = SCPNet(SCPNetSizes(num_classes=751))
    back = network.to_official(network.state_dict())
    assert shapes(back).items() <= shapes(tensors).items()
    assert tensors.keys() - back.keys() == {"conv_feature.weight", "conv_feature.bias"}


@pytest.mark.slow
@torch.inference_mode()
def test_golden():
    tensors, expected = checkpoint(STEM), golden(STEM)
    network = SCPNet(SCPNetSizes(num_classes=751)).eval()
    network.load_state_dict({n: t for n, t in network.from_official(tensors).items() if "conv_feature" not in n})
    extractor = scpnet.from_tensors(tensors, "official.pth").eval()
    images = uniform(1, -1, 1, (2, 3, 256, 128))
    maps = network.backbone(images)
    errors = {
        "feature": error(extractor(images), expected["feature"]),
        "row_feats": error(network.rows(maps), expected["row_feats"]),
        "logits": error(torch.stack(network.scores(network.groups_of(maps)), dim=1), expected["logits"]),
    }
    print(errors)
    assert max(errors.values()) < TOLERANCE


def test_preprocessing():
    stored = golden("stripes_grid/preprocess_lecture1")
    with torch.device("meta"):
        extractor = scpnet.from_tensors(manifest(STEM), "official.pth")
    for source in ("a", "b"):
        shown = extractor.preprocess(Image.fromarray(stored[f"source_{source}"].numpy()))
        assert shown.shape == (3, 256, 128)
        expected = stored[f"alignedreid_v1_scpnet/{source}"]
        torch.testing.assert_close(shown[:, 3::8, 2::8], expected, rtol=0, atol=1e-5)


def test_the_loss_is_the_authors():
    """The golden's pictures as the branches of a network that gives them."""
    stored = golden("stripes_grid/scpnet_loss")
    columns = zip(stored["feature"], stored["logits"], stored["rows"], strict=True)
    branches = [Branch(feature, scores, target=row) for feature, scores, row in columns]
    losses = read_losses(
        [{"name": "identity"}, {"name": "margin_triplet", "margin": 0.3}, {"name": "spatial_to_channel", "weight": 10}]
    )
    labels = stored["labels"]
    terms = {name: torch.stack([loss(branch, labels) for branch in branches]) for name, loss in losses.items()}
    torch.testing.assert_close(terms["identity"].sum(), stored["identity"])
    torch.testing.assert_close(terms["margin_triplet"], stored["triplet"])
    torch.testing.assert_close(terms["spatial_to_channel"].sum(), stored["mse_sum"])

    network = small(SCPNet)
    network.outputs = lambda inputs, labels: (branches, {})
    batch = {"pictures": torch.zeros(12, 3, 1, 1), "labels": labels, "camids": labels, "generated": labels < 0}
    torch.testing.assert_close(ReIDObjective(network, losses)(batch, [])[0], stored["loss"])


def test_only_the_groups_learn_from_the_stripes():
    network, images = small(SCPNet), torch.rand(4, 3, 64, 32)
    maps = network.backbone(images).detach().requires_grad_()
    network.backbone.forward = lambda pictures: maps
    loss = sum(mse_loss(branch.features, branch.target) for branch in network.branches(Inputs(images)))
    loss.backward()
    through_groups = maps.grad.clone()
    maps.grad = None
    targets = [row.detach() for row in network.rows(maps).unbind(1)]
    features = network.groups_of(maps)
    sum(mse_loss(f, target) for f, target in zip(features, targets, strict=True)).backward()
    torch.testing.assert_close(maps.grad, through_groups)


def test_features_of_groups_come_side_by_side():
    network, images = small(SCPNet).eval(), torch.rand(2, 3, 64, 32)
    maps = network.backbone(images)
    for group, feature in enumerate(network(images).split(160, dim=1)):
        weight = network.convolutions[group].weight[:, :, 0, 0]
        plain = torch.einsum("oc,bchw->bohw", weight, maps) + network.convolutions[group].bias[:, None, None]
        torch.testing.assert_close(feature, plain.mean((2, 3)) / (1 + 1e-5) ** 0.5, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("weight", [1.0, 0.25])
def test_icnn_weighs_global_and_local(weight):
    network, images = small(ICNN, global_weight=weight).eval(), torch.rand(3, 3, 64, 32)
    feats = network(images)
    assert feats.shape == (3, 5 * 160) == (3, network.feature_dim)
    whole, *stripes = feats.split(160, dim=1)
    maps = network.backbone(images)
    torch.testing.assert_close(whole, (4 * weight) ** 0.5 * normalize(maps.mean((2, 3))))
    for part, stripe in enumerate(stripes):
        torch.testing.assert_close(stripe, normalize(maps[:, :, 2 * part : 2 * part + 2].mean((2, 3))))


def test_icnn_branches():
    images = torch.rand(4, 3, 64, 32)
    whole, *stripes = small(ICNN).branches(Inputs(images))
    assert whole.features.shape == (4, 160) and whole.scores.shape == (4, 3) and whole.weight == 1
    assert [branch.weight for branch in stripes] == [0.25] * 4
    assert all(branch.features is None and branch.scores.shape == (4, 3) for branch in stripes)
    network = small(ICNN, metric_only=True).eval()
    (fused,) = network.branches(Inputs(images))
    assert fused.scores is None and torch.equal(fused.features, network(images))


@pytest.mark.parametrize("kind", [ICNN, SCPNet])
def test_learns(kind):
    network = small(kind, num_classes=0)
    check_learns(network, unused=("local.",))


def test_files_of_others_are_one_line():
    with pytest.raises(UserError, match=r"x\.pth does not fit: it lacks conv_pool1\.weight"):
        scpnet.from_tensors({"conv1.weight": torch.zeros(3)}, "x.pth")
    with pytest.raises(UserError, match="groups must be at least 1"):
        small(SCPNet, groups=0)
