import pytest
import torch

from NFC.networks.pmt import PMT, PMTSizes, from_tensors
from pose2id.errors import UserError
from tests.nfc.networks.learning import check_golden, check_learns
from tests.nfc.networks.official import checkpoint, manifest, shapes

TRAINING_ONLY = ("classifier.",)


def test_names_and_shapes_are_those_of_the_official_file():
    tensors = manifest("pmt")
    with torch.device("meta"):
        extractor = from_tensors(tensors, "official.pth")
    ours = extractor.network.state_dict()
    assert ours.keys() == {name for name in tensors if not name.startswith(TRAINING_ONLY)}
    assert shapes(ours).items() <= shapes(tensors).items()
    assert sum(not name.endswith("num_batches_tracked") for name in ours) == 154  # of 156
    assert (extractor.height, extractor.width, extractor.uses_camids) == (256, 128, False)


@pytest.mark.slow
def test_golden():
    check_golden(
        from_tensors(checkpoint("pmt", lambda name: not name.startswith(TRAINING_ONLY)), "official.pth"), "pmt"
    )


def small():
    torch.manual_seed(0)
    return PMT(PMTSizes(64, 32, 8, dim=32, depth=2, heads=2, num_classes=0))


def test_learns():
    check_learns(small(), unused=("bottleneck.bias",))


@torch.inference_mode()
def test_the_neck_is_part_of_the_feature():
    network, images = small().eval(), torch.rand(2, 3, 64, 32)
    torch.nn.init.normal_(network.bottleneck.running_mean)
    torch.nn.init.uniform_(network.bottleneck.running_var, 0.5, 2)
    hidden = network.base(images)
    expected = (hidden - network.bottleneck.running_mean) / (network.bottleneck.running_var + 1e-5).sqrt()
    torch.testing.assert_close(network(images), expected / expected.square().sum(1, keepdim=True).sqrt())


def test_a_file_of_another_network_is_named():
    with pytest.raises(UserError, match=r"x\.pth does not fit: it lacks base\.pos_embed"):
        from_tensors({"conv1.weight": torch.zeros(3)}, "x.pth")
