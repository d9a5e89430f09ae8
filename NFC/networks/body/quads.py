"""Rectangles of a picture that show quadrilaterals of another, by homographies."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

OUTSIDE = -1e4  # a place in no picture


def homographies(quads: Tensor) -> Tensor:
    """(..., 4, 2), corners (x, y) from the upper left clockwise -> (..., 3, 3), which takes the unit square there.

    (0, 0) -> the first, (1, 0) the second, (1, 1) the third, (0, 1) the fourth. Quads without an area get the affine
    map of their first, second and fourth corner.
    """
    first, second, third, fourth = quads.unbind(-2)
    right, below = second - third, fourth - third
    rest = first - second + third - fourth
    area = _cross(right, below)
    flat = area.abs() < 1e-9
    divisor = torch.where(flat, torch.ones_like(area), area)
    across, down = (
        torch.where(flat, torch.zeros_like(area), value / divisor)[..., None]
        for value in (_cross(rest, below), _cross(right, rest))
    )
    columns = [second - first + across * second, fourth - first + down * fourth, first]
    places = torch.stack(columns, dim=-1)
    last = torch.cat([across, down, torch.ones_like(across)], dim=-1)
    return torch.cat([places, last[..., None, :]], dim=-2)


def _cross(a: Tensor, b: Tensor) -> Tensor:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]


def applied(matrix: Tensor, places: Tensor) -> Tensor:
    """(..., 2 or 3, 3) at places (N, 2) -> (..., N, 2), element by element, so that autocast leaves it exact."""
    x, y = places.to(matrix.dtype).unbind(-1)
    rows = [row[..., :1] * x + row[..., 1:2] * y + row[..., 2:] for row in matrix.unbind(-2)]
    result = torch.stack(rows[:2], dim=-1)
    return result if len(rows) == 2 else result / rows[2][..., None]


def pixels(height: int, width: int, device: torch.device | None = None) -> Tensor:
    """(height * width, 2): x and y of each."""
    rows, columns = torch.arange(height, device=device), torch.arange(width, device=device)
    return torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1).flatten(0, 1)


def sample(pictures: Tensor, places: Tensor, fill: Tensor | float = 0.0) -> Tensor:
    """(B, C, H, W) at places (B, h, w, 2) in pixels, bilinearly -> (B, C, h, w); outside is `fill`, or (C,) of it."""
    size = places.new_tensor([pictures.shape[3], pictures.shape[2]])
    grid = ((2 * places + 1) / size - 1).to(pictures.dtype)
    fill = torch.as_tensor(fill, dtype=pictures.dtype, device=pictures.device).view(-1, 1, 1)
    return grid_sample(pictures - fill, grid, align_corners=False) + fill


def paste(canvas: Tensor, parts: Sequence[tuple[tuple[int, int], Tensor]]) -> Tensor:
    """`canvas` (B, h, w, 2) with places (B, a, b, 2) put in, each with its upper left corner (row, column)."""
    for (top, left), places in parts:
        height, width = places.shape[1:3]
        canvas[:, top : top + height, left : left + width] = places
    return canvas
