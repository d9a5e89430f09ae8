"""IDLA and PersonNet: the figures of their references, and what holds of differences between neighbourhoods."""

import pytest
import torch
from torch.nn.functional import conv2d

from NFC.networks import build_extractor, trainable
from NFC.networks.blocks.neighbourhood import PatchSummary, neighbourhood_differences
from NFC.networks.blocks.pair_network import Order, PairNetwork
from NFC.networks.files import build_from_tensors
from NFC.networks.idla import IDLA, IDLASizes
from NFC.networks.reid_network import Inputs
from pose2id.errors import UserError
from tests.golden.recipe import uniform
from tests.nfc.networks.learning import TOLERANCE
from tests.nfc.networks.official import checkpoint, error, golden, manifest, shapes
from tests.nfc.networks.pair_networks import tiny_idla

PARAMETERS = {"idla": 2_308_147, "personnet": 5_379_810}


@pytest.fixture(scope="module", params=PARAMETERS)
def name(request) -> str:
    return request.param


def official(name: str) -> PairNetwork:
    kind = trainable(name)
    return build_from_tensors(kind, checkpoint(f"stripes_grid/{name}"), f"{name}.pth").eval().network


def test_names_and_shapes_are_those_of_the_reference(name):
    with torch.device("meta"):
        network = trainable(name)(trainable(name).Sizes())
    assert shapes(network.state_dict()) == shapes(manifest(f"stripes_grid/{name}"))
    assert sum(parameter.numel() for parameter in network.parameters()) == PARAMETERS[name]


@torch.inference_mode()
def test_golden(name):
    network, expected = official(name), golden(f"stripes_grid/{name}")
    maps = network.maps(uniform(1, -1, 1, (2, 3, 160, 60)))
    assert error(maps, expected["maps"]) < TOLERANCE and network.layout.sizes == tuple(maps.shape[1:])
    assert error(network.compare(maps, maps.flip(0))[1], expected["logits"]) < TOLERANCE
    assert error(network.compare(maps.flip(0), maps)[1], expected["logits_swapped"]) < TOLERANCE
    if "logits_self" in expected:
        assert error(network.compare(maps, maps)[1], expected["logits_self"]) < TOLERANCE
    odds = expected["logits"][:, 1] - expected["logits"][:, 0]
    torch.testing.assert_close(network.pair_scores(maps, maps.flip(0)), odds, rtol=1e-4, atol=1e-5)


def test_golden_differences():
    expected = golden("stripes_grid/idla_cross")
    f, g = expected["f"], expected["g"]
    assert torch.equal(neighbourhood_differences(f, g), expected["K"])
    assert torch.equal(neighbourhood_differences(g, f), expected["K_swapped"])
    for wrong in ("K_dlib_border", "K_swapped_dlib_border", "K_swapped_same_place_wrong"):
        assert not torch.allclose(expected[wrong], expected["K_swapped" if "swapped" in wrong else "K"], atol=1e-2)
    blocks = neighbourhood_differences(f, g).relu().transpose(2, 3).flatten(3).flatten(1, 2)
    assert torch.equal(blocks, expected["relu_blocks"])


@pytest.mark.parametrize("size", [1, 3, 5])
def test_a_summary_is_a_convolution_over_patches_side_by_side(size):
    torch.manual_seed(0)
    summary, f, g = PatchSummary(4, size), torch.randn(3, 4, 6, 5), torch.randn(3, 4, 6, 5)
    blocks = neighbourhood_differences(f, g, size).relu().transpose(3, 4).flatten(4).flatten(2, 3)
    expected = conv2d(blocks, summary.weight, summary.bias, stride=size)
    torch.testing.assert_close(summary(f, g), expected, rtol=1e-4, atol=1e-5)


def test_differences_by_hand():
    f, g = torch.full((1, 2, 2), 3.0), torch.tensor([[[1.0, 2.0], [4.0, 8.0]]])
    at_corner = neighbourhood_differences(f, g, 3)[0, 0, 0]
    assert at_corner.tolist() == [[3, 3, 3], [3, 2, 1], [3, -1, -5]]  # outside of the map there is nothing


@torch.inference_mode()
def test_the_order_of_a_pair_counts_unless_both_are_asked_for(name):
    network = official(name)
    a, b = torch.rand(2, 3, *network.map_shape)
    assert not torch.allclose(network.pair_scores(a, b), network.pair_scores(b, a), rtol=1e-3)
    both = network.pair_scores(a, b, Order.both)
    torch.testing.assert_close(both, network.pair_scores(b, a, Order.both))
    torch.testing.assert_close(both, (network.pair_scores(a, b) + network.pair_scores(b, a)) / 2)


def test_the_control_compares_the_same_place_alone():
    network = IDLA(IDLASizes(64, 32, neighbourhood=1))
    assert network.summary_a.weight.shape == (25, 25, 1, 1)
    again = build_from_tensors(IDLA, network.state_dict(), "own.pth", "mini").network
    assert again.sizes.neighbourhood == 1
    with pytest.raises(UserError, match="odd number, got 4"):
        IDLA(IDLASizes(neighbourhood=4))
    with pytest.raises(UserError, match="16 x 60 are too small"):
        IDLA(IDLASizes(height=16))


def test_files_of_other_networks_and_batches_without_pairs_are_one_line(tmp_path, name):
    with pytest.raises(UserError, match=r"x\.pth does not fit: it lacks summary_a\.weight; use a file of"):
        build_from_tensors(trainable(name), {"conv1.weight": torch.zeros(3)}, "x.pth")
    with pytest.raises(UserError, match="scheme=pairs"):
        tiny_idla().branches(Inputs(torch.rand(2, 3, 24, 24)))
    torch.save(
        {"state_dict": {f"module.{n}": t for n, t in checkpoint(f"stripes_grid/{name}").items()}}, tmp_path / "w.pth"
    )
    assert build_extractor(name, tmp_path / "w.pth", device="cpu").layout.kind == "maps"


def test_pictures_are_standardised_one_by_one():
    preprocessing = tiny_idla().preprocessing()
    pictures = torch.rand(3, 3, 24, 24) * torch.tensor([1.0, 0.1, 0.0]).view(3, 1, 1, 1)
    prepared = preprocessing.normalise(pictures)
    assert prepared.mean((1, 2, 3)).abs().max() < 1e-5
    torch.testing.assert_close(prepared.std((1, 2, 3), correction=0), torch.tensor([1.0, 1.0, 0.0]))
    torch.testing.assert_close(preprocessing.normalise(pictures[1]), prepared[1])
