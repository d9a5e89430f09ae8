"""GLAD: the golden figures of the authors' network."""

import pytest
import torch

from NFC.networks.files import build_from_tensors
from NFC.networks.glad import GLAD, STREAMS, GLADSizes
from pose2id.errors import UserError
from tests.golden.recipe import uniform
from tests.nfc.networks.learning import TOLERANCE
from tests.nfc.networks.official import checkpoint, error, golden, manifest, shapes


def test_names_and_shapes_are_the_authors():
    with torch.device("meta"):
        network = GLAD(GLADSizes(num_classes=751))
    ours = {n: t for n, t in network.to_official(network.state_dict()).items() if not n.endswith("num_batches_tracked")}
    assert shapes(ours) == shapes(manifest("pose_parsing_domains/glad"))


def test_files_of_other_data_sets():
    tensors = checkpoint("pose_parsing_domains/glad")
    other = {name.replace("conv751", "conv1041"): tensor for name, tensor in tensors.items()}
    build_from_tensors(GLAD, other, "glad")
    with pytest.raises(UserError, match="lacks layer/conv1"):
        build_from_tensors(GLAD, {"x": torch.zeros(1)}, "glad")


@pytest.mark.slow
@torch.no_grad()
def test_figures():
    expected = golden("pose_parsing_domains/glad")
    network = GLAD(GLADSizes(num_classes=751))
    network.load_state_dict(network.from_official(checkpoint("pose_parsing_domains/glad")), strict=False)
    network.eval()
    both = 120 * uniform(1, -1, 1, (2, 3, 512, 512))
    regions = [both[:, :, :96, :96], both[:, :, 96:288, :256], both[:, :, 288:, :256], both[:, :, :, 256:]]
    errors = {}
    for prefix, end, (before, behind) in zip(STREAMS, network.ends, network.maps(regions), strict=True):
        assert list(behind.shape) == expected[f"glad/{prefix}fc6/shape"].tolist()
        found = {"fc6/mean": before.mean((2, 3)), "fc6_bn_relu/mean": behind.mean((2, 3)), "logits": end.scores(behind)}
        errors |= {prefix + name: error(value, expected[f"glad/{prefix}{name}"]) for name, value in found.items()}
    assert max(errors.values()) < TOLERANCE, errors
    print(errors)


@torch.no_grad()
def test_regions_and_descriptor():
    network = GLAD(GLADSizes(**GLAD.mini)).eval()
    picture = torch.arange(128.0)[:, None].expand(128, 64).expand(1, 3, 128, 64)
    head, upper, lower, whole = network.regions(picture, None)
    assert [tuple(region.shape[2:]) for region in (head, upper, lower)] == [(32, 32), (64, 64), (64, 64)]
    assert upper.min() > 20 and upper.max() < 64 < lower.min() + 1 and torch.equal(whole, picture)
    feature = network(torch.rand(2, 3, 128, 64)).unflatten(1, (4, -1))
    torch.testing.assert_close(feature.norm(dim=2), torch.ones(2, 4))
    theirs = GLAD(GLADSizes(**GLAD.mini, feature="before")).eval()(torch.rand(2, 3, 128, 64)).unflatten(1, (4, -1))
    torch.testing.assert_close(theirs.abs().sum(2), torch.ones(2, 4))
