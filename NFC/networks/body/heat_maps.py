"""Heat maps drawn from points on the fly."""

import torch
from torch import Tensor

from .points import present

CUT = 3  # standard deviations


def heat_maps(points: Tensor, size: tuple[int, int], stride: float, deviation: float = 2.0) -> Tensor:
    """As HRNet's training draws them (mmpose): (..., K, 3) -> (..., K, h, w) with peak 1 at the nearest pixel.

    size: (h, w); stride: pixels of the points to one of the map; deviation: in pixels of the map. Cut at a square of 3
    deviations; zero for a missing point and one whose square lies outside.
    """
    points = present(points)
    centres = (points[..., :2] / stride + 0.5).floor()
    return _products(points, centres, size, deviation, CUT * deviation)


def smooth_maps(points: Tensor, size: tuple[int, int], stride: float, deviation: float = 2.0) -> Tensor:
    """The same about the exact place, pixels being squares, and not cut; differentiable in the places."""
    points = present(points)
    centres = (points[..., :2] + 0.5) / stride - 0.5
    return _products(points, centres, size, deviation, float("inf"))


def _products(points: Tensor, centres: Tensor, size: tuple[int, int], deviation: float, cut: float) -> Tensor:
    """Outer products of two bells, (..., K, h, w)."""
    rows, columns = (
        _bell(torch.arange(length, device=points.device) - centres[..., axis, None], deviation, cut)
        for length, axis in zip(size, (1, 0), strict=True)
    )
    return rows[..., :, None] * columns[..., None, :] * (points[..., 2] > 0)[..., None, None]


def _bell(offsets: Tensor, deviation: float, cut: float) -> Tensor:
    return torch.exp(-offsets.square() / (2 * deviation**2)) * (offsets.abs() <= cut)
