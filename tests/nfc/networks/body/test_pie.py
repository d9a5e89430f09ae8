"""PIE: the golden figures of the authors' network."""

import pytest
import torch

from NFC.networks.body.points import mirrored
from NFC.networks.files import build_from_tensors
from NFC.networks.pie import PIE, PIESizes
from tests.golden.recipe import uniform
from tests.nfc.networks.learning import TOLERANCE
from tests.nfc.networks.official import checkpoint, error, golden, manifest, shapes


def test_names_and_shapes_are_the_authors():
    with torch.device("meta"):
        network = PIE(PIESizes(num_classes=751))
    ours = {n: t for n, t in network.to_official(network.state_dict()).items() if not n.endswith("num_batches_tracked")}
    assert shapes(ours) == shapes(manifest("pose_parsing_domains/pie"))


@pytest.mark.slow
@torch.no_grad()
def test_figures():
    expected = golden("pose_parsing_domains/pie")
    tensors = checkpoint("pose_parsing_domains/pie")
    build_from_tensors(PIE, {name.replace("fc751", "fc1041"): t for name, t in tensors.items()}, "pie")
    network = PIE(PIESizes(num_classes=751))
    network.load_state_dict(network.from_official(tensors), strict=False)
    network.eval()
    pictures, boxes = (120 * uniform(seed, -1, 1, (2, 3, 224, 224)) for seed in (1, 2))
    pooled = network.pooled(pictures, boxes)
    joined = torch.cat([*pooled, uniform(3, 0, 1, (2, 12))], dim=1)
    scores = [classify(own) for classify, own in zip(network.classifiers, (*pooled, joined), strict=True)]
    found = dict(zip(("origImg_pool5", "poseBox_pool5", "concat"), (*pooled, joined), strict=True))
    found |= dict(zip(("origImg_fc8_", "poseBox_fc8_", "overall_fc751"), scores, strict=True))
    errors = {name: error(value, expected[f"pie/{name}"]) for name, value in found.items()}
    assert max(errors.values()) < TOLERANCE, errors
    print(errors)


@torch.no_grad()
def test_a_mirror_reverses_the_confidences():
    network = PIE(PIESizes(**PIE.mini)).eval()
    pictures, points = torch.randn(2, 3, 64, 32), torch.rand(2, 18, 3) * 30 + 1
    sure = network.confidences(pictures, points)
    assert torch.equal(network.confidences(pictures, mirrored(points, 32)), sure.flip(1))
    assert torch.equal(network(pictures, points)[:, -12:], sure)
    unit = PIE(PIESizes(**PIE.mini, unit=True)).eval()(pictures, points)
    torch.testing.assert_close(unit[:, :160].norm(dim=1), torch.ones(2))


def test_both_streams_start_from_imagenet():
    network, tensors = PIE(PIESizes(**PIE.mini)), {"conv1.weight": torch.zeros(1), "fc.weight": torch.zeros(2)}
    assert network.is_imagenet(tensors) and not network.is_imagenet({"origImg_conv1.weight": torch.zeros(1)})
    start = network.from_imagenet(tensors)
    assert start["backbone.conv1.weight"] is start["box_backbone.conv1.weight"] is tensors["conv1.weight"]
    assert start.keys() - network.state_dict().keys() == {"backbone.conv1.weight", "box_backbone.conv1.weight"}


@torch.no_grad()
def test_nobody_has_a_black_box():
    network = PIE(PIESizes(**PIE.mini)).eval()
    boxes = network.boxes(torch.randn(1, 3, 64, 32), None)
    torch.testing.assert_close(boxes, -torch.tensor(PIE.means)[:, None, None].expand_as(boxes))
