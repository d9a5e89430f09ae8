"""The farthest other row of each row, against a plain loop."""

import pytest
import torch

import NFC.neighbours.farthest
from NFC.neighbours.farthest import farthest_distances
from NFC.neighbours.products import BFLOAT16, FLOAT32, FLOAT64


def naive(points: torch.Tensor) -> torch.Tensor:
    precise = points.double()
    return torch.stack([(precise - point).square().sum(1).max().sqrt() for point in precise])


@pytest.mark.parametrize("precision", [BFLOAT16, FLOAT32, FLOAT64], ids=["bfloat16", "float32", "float64"])
@pytest.mark.parametrize("tile", [16, 1000])
@pytest.mark.parametrize("kind", ["spread", "far from the origin", "on a sphere", "pairs", "large"])
def test_farthest_distances_equal_a_plain_loop(kind, tile, precision):
    points = torch.randn(203, 24, generator=torch.Generator().manual_seed(0))
    points = {
        "spread": points,
        "far from the origin": points + 100,
        "on a sphere": torch.nn.functional.normalize(points),
        "pairs": points.repeat_interleave(2, 0)[:203],
        "large": points * 1e12,
    }[kind]
    torch.testing.assert_close(farthest_distances(points, precision, tile), naive(points), rtol=1e-6, atol=0)


def test_where_nearly_all_pairs_are_equally_far_everything_is_measured(monkeypatch):
    points = torch.eye(300)  # every two rows are sqrt(2) apart
    monkeypatch.setattr(NFC.neighbours.farthest, "pair_distances", None)  # not called
    expected = torch.full((300,), 2.0, dtype=torch.float64).sqrt()
    torch.testing.assert_close(farthest_distances(points, tile=64), expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("magnitude", [1e-200, 1e-30, 1e30, 1e200])
def test_extreme_magnitudes_neither_overflow_nor_vanish(magnitude):
    points = torch.randn(40, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = naive(points) * magnitude
    torch.testing.assert_close(farthest_distances(points * magnitude), expected, rtol=1e-6, atol=0)


def test_points_that_coincide_have_distance_zero():
    assert farthest_distances(torch.full((7, 5), 0.3)).tolist() == [0.0] * 7
