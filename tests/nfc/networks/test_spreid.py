"""SPReID: Inception-V3 twice, pooling by the parts of the body, against the authors' figures."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from NFC.networks import build_extractor
from NFC.networks.blocks.parsing import PARSINGS, part_of
from NFC.networks.blocks.semantic_pooling import (
    lip_regions,
    regions_of_labels,
    resized,
    semantic_feature,
)
from NFC.networks.body.masks import mask_pooling
from NFC.networks.reid_network import Inputs
from NFC.networks.spreid import SPReID, from_tensors
from pose2id.errors import UserError
from tests.golden.recipe import recipe, uniform
from tests.nfc.networks.official import error, golden, manifest, place, shapes

GOLDEN = golden("spreid")
TOLERANCE, NEAR, RESIZED = 2e-5, {"rtol": 1e-6, "atol": 1e-6}, {"rtol": 1e-5, "atol": 1e-5}
ABOUT_ONE = {"gamma": lambda w: 1 + w, "avg_var": lambda w: 1 + w.abs()}


def official() -> dict[str, Tensor]:
    """The authors' file with recipe values, which Chainer's names need rules of their own for."""
    content = json.loads(place("spreid_manifest.json").read_text(encoding="utf-8"))
    made = {name: recipe("spreid", name, shape) for name, shape in content if not name.endswith("/N")}
    return {name: ABOUT_ONE.get(name.rsplit("/", 1)[1], lambda w: w)(tensor) for name, tensor in made.items()}


def small(**changes) -> SPReID:
    torch.manual_seed(0)
    return SPReID(replace(SPReID.preset_sizes("mini"), **changes))


def test_names_and_shapes_are_those_of_the_official_file():
    tensors = manifest("spreid")
    assert len(tensors) == 1174
    with torch.device("meta"):
        network = from_tensors(tensors, "official.h5").network
        network = SPReID(replace(network.sizes, num_classes=751))
    assert shapes(network.to_official(network.state_dict())) == shapes(tensors)


@pytest.mark.slow
@torch.inference_mode()
def test_golden(tmp_path):
    path = tmp_path / "spreid.safetensors"
    save_file(official(), path)
    extractor = build_extractor("spreid", path, device="cpu")
    pictures = 120 * uniform(1, -1, 1, (2, 3, 512, 512))
    torch.testing.assert_close(pictures.flatten()[:8], GOLDEN["input_first"])
    seen = extractor.network.parser(pictures)
    assert list(seen.shape) == GOLDEN["segmentation_shape"].tolist()
    assert error(seen.mean((2, 3)), GOLDEN["segmentation_mean"]) < TOLERANCE
    assert error(lip_regions(seen).mean((2, 3)), GOLDEN["groups_mean"]) < TOLERANCE
    assert error(extractor(pictures), GOLDEN["feature"]) < TOLERANCE


def test_pooling():
    regions = lip_regions(GOLDEN["pool_parsing"])
    torch.testing.assert_close(regions, GOLDEN["pool_groups"], **NEAR)
    features = GOLDEN["pool_map"]
    torch.testing.assert_close(resized(features, (6, 5)), GOLDEN["pool_resized"], **RESIZED)
    means = mask_pooling(resized(features, (6, 5)), regions)
    torch.testing.assert_close(means, GOLDEN["pool_parts"], **RESIZED)
    expected = torch.cat([GOLDEN["pool_parts"][:, 0], GOLDEN["pool_max4"], GOLDEN["pool_global"]], 1)
    torch.testing.assert_close(semantic_feature(features, regions), expected, **RESIZED)


def test_a_uniform_part_map_is_mean_pooling():
    features = torch.randn(2, 7, 5, 4, dtype=torch.float64)
    uniform_map = torch.full((2, 3, 5, 4), 0.3, dtype=torch.float64)
    means = mask_pooling(features, uniform_map)
    torch.testing.assert_close(means, features.mean((2, 3))[:, None].expand(-1, 3, -1))
    empty = mask_pooling(features, torch.zeros(2, 3, 5, 4, dtype=torch.float64))
    assert empty.eq(0).all()


def test_regions_of_labels_are_those_of_certain_probabilities():
    labels = torch.randint(20, (2, 6, 5), generator=torch.Generator().manual_seed(0))
    certain = torch.nn.functional.one_hot(labels, 20).permute(0, 3, 1, 2).float()
    parts = part_of(labels, PARSINGS["lip"].parts)
    torch.testing.assert_close(regions_of_labels(parts, (6, 5)), lip_regions(certain))
    torch.testing.assert_close(regions_of_labels(parts, (3, 1)).mean((2, 3)), lip_regions(certain).mean((2, 3)))
    assert regions_of_labels(torch.full((1, 6, 5), -1), (3, 2)).eq(0).all()


def test_the_parser_never_learns():
    network = small(num_classes=3).train()
    before = {name: tensor.clone() for name, tensor in network.parser.state_dict().items()}
    (branch,) = network.branches(Inputs(torch.randn(2, 3, 128, 128)))
    branch.scores.square().sum().backward()
    assert not network.parser.predictor.convolution[0].bn.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.parser.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parser.parameters())
    assert next(network.backbone.parameters()).grad.abs().sum() > 0


@torch.no_grad()
def test_label_maps_take_the_place_of_the_parser():
    network, pictures = small().train(), torch.randn(2, 3, 128, 128)
    labels = torch.zeros(2, 128, 128, dtype=torch.int64)
    labels[:, :40] = 2
    given, own = network(pictures, labels), network(pictures)
    third = network.backbone.channels
    assert not torch.allclose(given[:, :third], own[:, :third])
    torch.testing.assert_close(given[:, 2 * third :], own[:, 2 * third :])
    assert network(pictures, torch.zeros_like(labels))[:, : 2 * third].eq(0).all()
    inputs = Inputs(pictures, parsing=labels)
    torch.testing.assert_close(network.branches(inputs)[0].features, given)


def test_a_file_of_another_network_is_named():
    with pytest.raises(UserError, match=r"x\.pth does not fit: it lacks predictor/convolution or segmentation"):
        from_tensors({"conv1.weight": torch.zeros(3)}, "x.pth")
