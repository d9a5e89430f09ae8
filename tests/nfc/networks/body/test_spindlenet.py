"""Spindle Net: the golden figures of the authors' network."""

import pytest
import torch

from NFC.networks.body.regions import LARGE, SMALL
from NFC.networks.files import build_from_tensors
from NFC.networks.spindlenet import FUSED, SpindleNet, SpindleSizes
from tests.golden.recipe import uniform
from tests.nfc.networks.learning import TOLERANCE
from tests.nfc.networks.official import checkpoint, error, golden, manifest, shapes


def test_names_and_shapes_are_the_authors():
    with torch.device("meta"):
        network = SpindleNet(SpindleSizes())
    ours = {n: t for n, t in network.to_official(network.state_dict()).items() if not n.endswith("num_batches_tracked")}
    assert shapes(ours) == shapes(manifest("pose_parsing_domains/spindlenet"))


@pytest.mark.slow
@torch.no_grad()
def test_figures():
    expected = golden("pose_parsing_domains/spindle")
    tensors = checkpoint("pose_parsing_domains/spindlenet")
    network = build_from_tensors(SpindleNet, tensors, "spindlenet").eval().network
    boxes = torch.stack([expected[f"spindle/{name}box"][:, 1:] for name in (*LARGE, *SMALL)], dim=1)
    found = network.described(128 * uniform(1, -1, 1, (2, 3, 96, 96)), boxes)
    names = {"fc7": "base", "fc7/spindle": "spindle"} | {f"fc7/{name}": name for name in (*LARGE, *SMALL)}
    names |= {f"fc_{name}": name for name in FUSED}
    errors = {name: error(found[ours], expected[f"spindle/{name}"]) for name, ours in names.items()}
    assert len(errors) == 14 and max(errors.values()) < TOLERANCE, errors
    print(errors)


@torch.no_grad()
def test_only_the_boxes_tell_where_the_body_is():
    network = SpindleNet(SpindleSizes(**SpindleNet.mini)).eval()
    pictures, points = torch.randn(2, 3, 48, 48), torch.rand(2, 18, 3) * 40 + 2
    boxes = network.boxes(pictures, points)
    assert torch.equal(network(pictures, points), network.described(pictures, boxes)["spindle"])
    assert not torch.allclose(network(pictures, points), network(pictures))
    whole = torch.tensor([0.0, 0, 48, 48]).expand(2, 7, 4)
    assert torch.equal(network(pictures), network.described(pictures, whole)["spindle"])
