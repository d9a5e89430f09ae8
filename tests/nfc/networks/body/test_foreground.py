"""Foreground pooling: exact identities, and what becomes of a picture without a mask."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from NFC.networks.baseline import Baseline, BaselineSizes
from NFC.networks.foreground import POOLINGS, Foreground
from NFC.networks.reid_network import Inputs
from pose2id.errors import UserError

UP_TO_ROUNDING = {"rtol": 1e-5, "atol": 1e-6}


def small(**changes) -> Foreground:
    torch.manual_seed(0)
    return Foreground(replace(Foreground.preset_sizes("mini"), num_classes=3, **changes)).eval()


def shown(count: int = 2) -> Tensor:
    return torch.randn(count, 3, 64, 32, generator=torch.Generator().manual_seed(1))


def bodies(count: int = 2) -> Tensor:
    places = torch.rand(count, 18, 2, generator=torch.Generator().manual_seed(2)) * torch.tensor([32.0, 64.0])
    return torch.cat([places, torch.ones(count, 18, 1)], dim=2)


@torch.no_grad()
@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_uniform_mask_is_mean_pooling(pooling):
    network = small(pooling=pooling)
    mean = network.backbone(shown()).mean((2, 3))
    everything = torch.ones(2, 64, 32, dtype=torch.int64)
    for given in ({"parsing": everything}, {}, {"parsing": -everything}, {"points": torch.zeros(2, 18, 3)}):
        for region in network.pooled(shown(), **given).unbind(1):
            torch.testing.assert_close(region, mean, **UP_TO_ROUNDING)


@torch.no_grad()
def test_mean_is_the_baseline():
    network, baseline = small(pooling="mean"), Baseline(BaselineSizes(**Baseline.mini)).eval()
    baseline.backbone.load_state_dict(network.backbone.state_dict())
    expected = normalize(baseline(shown()))
    torch.testing.assert_close(network(shown(), bodies()), expected, **UP_TO_ROUNDING)
    assert not torch.allclose(small()(shown(), bodies()), expected, rtol=1e-3)


@torch.no_grad()
def test_regions_are_weighted_means():
    """Against loops over the places of the map, each of which shows 8 x 8 pixels."""
    network = small(pooling="foreground_and_background")
    labels = torch.randint(-1, 3, (2, 64, 32), generator=torch.Generator().manual_seed(3))
    maps, pooled = network.backbone(shown()), network.pooled(shown(), parsing=labels)
    for picture in range(2):
        sums, counts = torch.zeros(2, maps.shape[1]), torch.zeros(2)
        for row in range(8):
            for column in range(4):
                pixels = labels[picture, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8]
                share = float((pixels > 0).float().mean())
                for region, weight in enumerate((share, 1 - share)):
                    sums[region] += weight * maps[picture, :, row, column]
                    counts[region] += weight
        torch.testing.assert_close(pooled[picture], sums / counts[:, None], **UP_TO_ROUNDING)


@torch.no_grad()
def test_what_lies_outside_of_the_mask_does_not_count():
    network = small(pooling="foreground_and_background")
    labels = torch.zeros(1, 64, 32, dtype=torch.int64)
    labels[:, 16:40, 8:24] = 1
    maps = network.backbone(shown(1))
    seen = labels[:, ::8, ::8].bool()
    foreground, background = network.pooled(shown(1), parsing=labels)[0]
    torch.testing.assert_close(foreground, maps[:, :, seen[0]].mean(2)[0], **UP_TO_ROUNDING)
    torch.testing.assert_close(background, maps[:, :, ~seen[0]].mean(2)[0], **UP_TO_ROUNDING)


@torch.no_grad()
def test_label_maps_take_the_place_of_points():
    network, labels = small(), torch.zeros(2, 64, 32, dtype=torch.int64)
    labels[:, 10:50, 10:20] = 4
    assert torch.equal(network(shown(), bodies(), labels), network(shown(), parsing=labels))
    assert not torch.allclose(network(shown(), bodies()), network(shown(), parsing=labels), rtol=1e-3)
    half = torch.stack([labels[0], labels[1] * 0 - 1])
    by_both = network(shown(), bodies(), half)
    assert torch.equal(by_both[:1], network(shown(), parsing=labels)[:1])
    torch.testing.assert_close(by_both[1:], network(shown(), bodies())[1:], **UP_TO_ROUNDING)
    (branch,) = network.branches(Inputs(shown(), points=bodies(), parsing=labels))
    torch.testing.assert_close(normalize(branch.features), network(shown(), parsing=labels))


@torch.no_grad()
def test_a_mask_of_another_picture_gives_another_feature():
    network = small()
    assert not torch.allclose(network(shown(), bodies().flip(0)), network(shown(), bodies()), rtol=1e-3)


def test_each_region_has_its_own_head():
    network = small(pooling="foreground_and_global").train()
    branches = network.branches(Inputs(shown(), points=bodies()))
    assert [branch.weight for branch in branches] == [0.5, 0.5] and network.feature_dim == 320
    branches[1].scores.sum().backward()
    assert network.classifier[0].weight.grad is None and network.classifier[1].weight.grad is not None


def test_an_unknown_pooling_is_one_line():
    with pytest.raises(UserError, match="foreground: unknown pooling 'max'; choose one of: foreground, "):
        small(pooling="max")
