"""The farthest other row of each row, against a plain loop."""

import pytest
import torch

import NFC.neighbours.search
from NFC.neighbours.farthest import Farthest
from NFC.neighbours.products import BFLOAT16, FLOAT32, FLOAT64, Frame
from NFC.neighbours.search import nearest_neighbours


def largest(points: torch.Tensor, tile: int) -> torch.Tensor:
    frame = Frame.around(points)
    farthest = Farthest(points, frame)
    nearest_neighbours(points, 3, tile=tile, watch=farthest)
    return farthest.half_distances() / frame.scale**2


def naive(points: torch.Tensor) -> torch.Tensor:
    precise = points.double()
    return torch.stack([(precise - point).square().sum(1).max() / 2 for point in precise])


@pytest.mark.parametrize("precisions", [[BFLOAT16, FLOAT32, FLOAT64], [FLOAT32, FLOAT64]])
@pytest.mark.parametrize("tile", [16, 1000])
@pytest.mark.parametrize("kind", ["spread", "far from the origin", "on a sphere", "pairs", "large"])
def test_largest_half_distances_equal_a_plain_loop(kind, tile, precisions, monkeypatch):
    monkeypatch.setattr(NFC.neighbours.search, "ladder", lambda device: precisions)
    points = torch.randn(203, 24, generator=torch.Generator().manual_seed(0))
    points = {
        "spread": points,
        "far from the origin": points + 100,
        "on a sphere": torch.nn.functional.normalize(points),
        "pairs": points.repeat_interleave(2, 0)[:203],
        "large": points * 1e12,
    }[kind]
    torch.testing.assert_close(largest(points, tile).double(), naive(points), rtol=2e-6, atol=0)


def test_where_nearly_all_pairs_are_equally_far_everything_is_measured(monkeypatch):
    points = torch.eye(300)  # every two rows are sqrt(2) apart
    monkeypatch.setattr(NFC.neighbours.farthest, "pair_distances", None)  # not called
    torch.testing.assert_close(largest(points, 64), torch.ones(300), rtol=1e-6, atol=0)


def test_points_that_coincide_have_distance_one():
    points = torch.full((7, 5), 0.3)
    frame = Frame.around(points)
    farthest = Farthest(points, frame)
    nearest_neighbours(points, 2, watch=farthest)
    assert farthest.half_distances().tolist() == [1.0] * 7
