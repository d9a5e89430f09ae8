from dataclasses import replace

import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import normalize

from NFC.networks.dsr import DSR, OFFICIAL, from_tensors
from NFC.networks.reid_network import Inputs
from pose2id.errors import UserError
from tests.golden.recipe import uniform
from tests.nfc.networks.official import checkpoint, error, golden, manifest, shapes

TOLERANCE = 2e-5
STEMS = {"dsr": ("sfr", 71), "dsr_fastreid": ("fastreid", 110)}


def small(dialect: str = "fastreid", **sizes) -> DSR:
    torch.manual_seed(0)
    return DSR(replace(DSR.preset_sizes("mini"), dialect=dialect, **sizes)).eval()


@pytest.mark.parametrize(("stem", "told"), STEMS.items(), ids=STEMS)
def test_names_and_shapes_are_those_of_the_official_file(stem, told):
    tensors, (dialect, columns) = manifest(stem), told
    with torch.device("meta"):
        extractor = from_tensors(tensors, "official.pth")
    network = extractor.network
    assert network.sizes == OFFICIAL[dialect] and network.layout.sizes == (columns, 2048)
    needed = {n: tensor for n, tensor in network.state_dict().items() if not n.startswith(network.unused_at_test())}
    ours = network.to_official(needed)
    assert ours.keys() == {name for name in tensors if not name.startswith(("heads.bnneck.", "heads.classifier"))}
    assert shapes(ours).items() <= shapes(tensors).items()


@pytest.mark.slow
@torch.inference_mode()
def test_golden():
    extractor, expected = from_tensors(checkpoint("dsr"), "official.pth").eval(), golden("dsr")
    network = extractor.network
    feats = network(uniform(1, -1, 1, (2, 3, 384, 192)))
    assert error(feats.whole, expected["global_feat"]) < TOLERANCE
    assert error(feats.columns.mT[:, ::8], expected["spatial_every8"]) < TOLERANCE
    assert error(feats.columns.norm(dim=2), expected["spatial_norms"]) < TOLERANCE
    torch.testing.assert_close(feats.weights, torch.full((2, 71), 1 / 71))
    partial = network.in_own_size(uniform(1, -1, 1, (1, 3, 200, 96)))
    assert error(partial.whole, expected["partial_global"]) < TOLERANCE
    assert error(partial.columns.mT, expected["partial_spatial"]) < TOLERANCE


@pytest.mark.slow
@torch.inference_mode()
def test_the_scored_head_at_full_size():
    """No golden figures are at hand: each number once more, from the contract's words."""
    network = from_tensors(checkpoint("dsr_fastreid"), "official.pth").eval().network
    feats = network(pictures := uniform(1, -1, 1, (1, 3, 384, 128)))
    check_scored(network, network.backbone(pictures), feats, (24, 8), (2, 4, 6, 8), 2)
    assert feats.columns.shape == (1, 110, 2048)


def check_scored(network, maps: Tensor, feats, sides, windows, stride) -> None:
    head, (height, width) = network.head, sides
    assert maps.shape[2:] == sides
    columns = [
        maps[0, :, y : y + window, x : x + window].amax((1, 2))
        for window in windows
        for y in range(0, height - window + 1, stride)
        for x in range(0, width - window + 1, stride)
    ]
    layer = head.occ_unit["mask_layer"]
    scores = torch.stack([torch.sigmoid(column @ layer.weight[0] + layer.bias[0]) for column in columns])
    first = len(range(0, height - windows[0] + 1, stride)) * len(range(0, width - windows[0] + 1, stride))
    own = (
        sum(score * column for score, column in zip(scores[:first], columns[:first], strict=True))
        / scores[:first].sum()
    )
    neck = head.bnneck_occ
    expected = (own - neck.running_mean) / (neck.running_var + neck.eps).sqrt() * neck.weight + neck.bias
    torch.testing.assert_close(feats.columns[0], torch.stack(columns))
    torch.testing.assert_close(feats.weights[0], scores / scores.sum())
    torch.testing.assert_close(feats.whole[0], expected, rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def test_the_scored_head():
    network, pictures = small(), uniform(2, -1, 1, (1, 3, 64, 32))
    torch.nn.init.normal_(network.head.bnneck_occ.running_mean)
    feats = network(pictures)
    assert feats.columns.shape == (1, 53, 160)
    check_scored(network, network.backbone(pictures), feats, (8, 4), (1, 2), 1)


@torch.inference_mode()
def test_a_window_of_the_whole_map_is_its_mean():
    network, pictures = small("sfr", windows=[1, 2, 0]), uniform(2, -1, 1, (2, 3, 64, 32))
    feats = network(pictures)
    torch.testing.assert_close(feats.columns[:, -1], feats.whole)
    torch.testing.assert_close(feats.columns[:, :32].mean(1), feats.whole)


def test_both_of_its_branches_learn_from_what_they_show():
    network = DSR(replace(DSR.preset_sizes("mini"), num_classes=3)).train()
    mean, foreground = network.branches(Inputs(uniform(2, -1, 1, (4, 3, 64, 32))))
    assert mean.scores.shape == foreground.scores.shape == (4, 3)
    foreground.features.square().sum().backward()
    assert network.head.occ_unit["mask_layer"].weight.grad.abs().sum() > 0


@pytest.mark.parametrize("dialect", ["sfr", "fastreid"])
@torch.inference_mode()
def test_pictures_in_their_own_size(dialect):
    network = small(dialect)
    pictures = uniform(3, -1, 1, (1, 3, 64, 32))
    torch.testing.assert_close(network.in_own_size(pictures).flatten(), network(pictures).flatten())
    assert network.in_own_size(uniform(3, -1, 1, (1, 3, 40, 24))).columns.shape == (1, 5 * 3 + 4 * 2, 160)
    assert network.in_own_size(uniform(3, -1, 1, (1, 3, 8, 8))).columns.shape == (1, 1, 160)
    with pytest.raises(UserError, match="no window of 3, 6 fits into a map of 2 x 4; take larger pictures"):
        small(dialect, windows=[3, 6]).in_own_size(uniform(3, -1, 1, (1, 3, 16, 32)))


def test_pictures_too_small_for_every_window_and_odd_sizes_are_one_line():
    for sizes, told in [
        ({"windows": [9]}, "no window of 9 fits into a map of 8 x 4"),
        ({"windows": []}, "no window|at least 1"),
        ({"stride": 0}, "stride"),
        ({"windows": [-1]}, "at least 1"),
        ({"dialect": "new"}, "unknown dialect 'new'; choose one of: fastreid, sfr"),
    ]:
        with pytest.raises(UserError, match=told):
            small(**sizes)


def test_a_file_of_another_network_is_named():
    with pytest.raises(UserError, match=r"x\.pth does not fit: it lacks heads\.occ_unit"):
        from_tensors({"conv1.weight": torch.zeros(3)}, "x.pth")


@pytest.mark.parametrize(("stem", "told"), STEMS.items(), ids=STEMS)
def test_preprocessing(stem, told):
    expected = golden("preprocess_lecture1")
    with torch.device("meta"):
        preprocessing = DSR(OFFICIAL[told[0]]).preprocessing()
    for source in ("a", "b"):
        picture = preprocessing(Image.fromarray(expected[f"source_{source}"].numpy()))
        torch.testing.assert_close(picture[:, 3::8, 2::8], expected[f"{stem}/{source}"], rtol=0, atol=1e-5)
        torch.testing.assert_close(picture.mean((1, 2)), expected[f"{stem}/{source}_mean"], rtol=0, atol=1e-4)


def test_a_normalised_member_has_unit_columns_and_weights_that_sum_to_one():
    with torch.inference_mode():
        feats = small()(uniform(3, -1, 1, (2, 3, 64, 32))).normalized()
    torch.testing.assert_close(feats.columns, normalize(feats.columns, dim=2))
    torch.testing.assert_close(feats.weights.sum(1), torch.ones(2))
