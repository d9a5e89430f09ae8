"""What is measured of RBNet and SAP, with networks that are right or wrong by construction."""

from types import SimpleNamespace

import pytest
import torch

from NFC.experiments.comparison.measures import Truth, attention_measures, heat_map_measures
from NFC.networks.body.heat_maps import heat_maps
from NFC.networks.body.points import to_coco


def shown() -> Truth:
    points = torch.zeros(2, 18, 3)
    points[..., 0], points[..., 1], points[..., 2] = 8, 20, 1
    points[:, 3] = 0  # nobody knows this one
    labels = torch.zeros(2, 64, 32, dtype=torch.long)
    labels[:, :, 16:] = 2
    return Truth(torch.zeros(2, 3, 64, 32), points, labels)


def rbnet(maps: torch.Tensor, mask: torch.Tensor) -> SimpleNamespace:
    network = SimpleNamespace(
        backbone=SimpleNamespace(maps=lambda pictures: pictures),
        masks=lambda maps_of: (mask, maps),
        sizes=SimpleNamespace(heat_deviation=1.0),
    )
    return SimpleNamespace(network=network)


def test_heat_maps_that_are_right_have_no_error_and_empty_ones_all_of_it():
    truth = shown()
    right = heat_maps(to_coco(truth.points), (32, 16), 2, 1.0)
    mask = torch.zeros(2, 1, 64, 32)
    mask[..., 16:] = 2
    found = heat_map_measures(rbnet(right, mask), truth)
    assert found == pytest.approx({"error": 0, "points": 1, "mask, person": 1, "mask, rest": 0}, abs=0.04)
    assert heat_map_measures(rbnet(right * 0, mask), truth)["error"] == pytest.approx(1)
    assert heat_map_measures(rbnet(right.flip(2), mask), truth)["points"] == 0


@pytest.mark.parametrize(("column", "expected"), [(1, 1.0), (0, 0.0)])
def test_attention_counts_where_the_part_is(column, expected):
    logits = torch.full((2, 7, 4, 2), -1e4)  # proxies, rows and columns of patches
    logits[:, :, 0, column] = 0
    network = SimpleNamespace(
        see=lambda pictures: SimpleNamespace(proxy_logits=[logits.flatten(2)]),
        base=SimpleNamespace(patch_embed=SimpleNamespace(proj=SimpleNamespace(kernel_size=(16, 16)))),
        sizes=SimpleNamespace(parts=6, stride=16),
        first_part=1,
    )
    found = attention_measures(SimpleNamespace(network=network), shown())
    assert found == pytest.approx({"own part": expected, "its pixels": 0.5})
