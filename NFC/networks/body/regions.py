"""Boxes of body regions from 14 points: Spindle Net's seven and GLAD's three, (x1, y1, x2, y2) in pixels."""

from collections.abc import Callable

import torch
from torch import Tensor

Widened = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]

# Spindle Net's: rows of the 14 points.
LARGE = {"head": (0, 1, 2, 5), "body": (2, 3, 4, 5, 6, 7, 8, 11), "leg": (8, 9, 10, 11, 12, 13)}
SMALL = {"rarm": (2, 3, 4), "larm": (5, 6, 7), "rleg": (8, 9, 10), "lleg": (11, 12, 13)}
MARGIN = 0.2  # of a box's size, on each side
LEAST = 14  # no side is under 2/14 of the picture's height
HEAD, NECK, HIPS = 0, 1, (8, 11)
WIDENED = 1.5  # GLAD's head, relative to the distance of top and neck
ALL_ROWS = (0.18, 0.5)  # where GLAD cuts nobody


def spindle_boxes(points: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, 7, 4): head, body, legs, right and left arm, right and left leg, of 14 points (B, 14, 3) and (height, width).

    As in the authors' code, which knows no missing points: here (ours) these are left out, and a region without any is
    the whole picture.
    """
    boxes = [_whole_where_missing(points, rows, size, _large) for rows in LARGE.values()]
    boxes += [_whole_where_missing(points, rows, size, _small) for rows in SMALL.values()]
    return _inside(torch.stack(boxes, dim=1), size)


def _whole_where_missing(points: Tensor, rows: tuple[int, ...], size: tuple[int, int], widened: Widened) -> Tensor:
    own = points[:, list(rows)]
    seen = own[..., 2:] > 0
    low = torch.where(seen, own[..., :2], torch.inf).amin(1)
    high = torch.where(seen, own[..., :2], -torch.inf).amax(1)
    limit = own.new_tensor([size[1], size[0]])
    known = seen.any(1)
    low, high = torch.where(known, low, 0 * limit), torch.where(known, high, limit)
    margin = MARGIN * (high - low)
    low, high = widened(*_clipped(low - margin, high + margin, limit), limit)
    return torch.cat([low, high], dim=1)


def _clipped(low: Tensor, high: Tensor, limit: Tensor) -> tuple[Tensor, Tensor]:
    return low.clamp(min=0), high.minimum(limit)


def _large(low: Tensor, high: Tensor, limit: Tensor) -> tuple[Tensor, Tensor]:
    """Square, the short side lengthened and cut; a small one a square of the least size."""
    sides = high - low
    more = (sides.amax(1, keepdim=True) - sides) / 2
    low, high = _clipped(low - more, high + more, limit)
    least = limit[1] / LEAST
    middle = (low + high) / 2
    small = ((high - low).amin(1, keepdim=True)) < 2 * least
    square_low, square_high = _clipped(middle - least, middle + least, limit)
    return torch.where(small, square_low, low), torch.where(small, square_high, high)


def _small(low: Tensor, high: Tensor, limit: Tensor) -> tuple[Tensor, Tensor]:
    """Sides lengthened to the least size."""
    least = limit[1] / LEAST
    middle = (low + high) / 2
    square_low, square_high = _clipped(middle - least, middle + least, limit)
    small = ((high - low).amin(1, keepdim=True)) < 2 * least
    return torch.where(small, low.minimum(square_low), low), torch.where(small, high.maximum(square_high), high)


def glad_boxes(points: Tensor, size: tuple[int, int], overlap: float = 0.0) -> Tensor:
    """(B, 3, 4): head, upper body, lower body, of 14 points (B, 14, 3) and a picture of (height, width).

    The bodies have the picture's width and are cut at neck and mid-hip; each region reaches `overlap` pixels over a
    cut. The head is a square that ends at the neck; its size, and that the default has no overlap, as in the authors'
    two example pictures, are ours. Ours too: with neck, hips or head missing, cuts and head are those of the mean pose.
    """
    height, width = size
    places, seen = points[..., :2], points[..., 2] > 0
    hips = list(HIPS)
    neck = torch.where(seen[:, NECK], places[:, NECK, 1], ALL_ROWS[0] * height)
    hip = torch.where(seen[:, hips].all(1), places[:, hips, 1].mean(1), ALL_ROWS[1] * height)
    neck = neck.clamp(1, height - 2)
    hip = hip.maximum(neck + 1).clamp(max=height - 1)
    known = seen[:, HEAD] & seen[:, NECK]
    rows = torch.where(known, (neck - places[:, HEAD, 1]).abs(), neck / WIDENED).clamp(min=1)
    middle = torch.where(known, places[:, [HEAD, NECK], 0].mean(1), width / 2)
    top = (neck - WIDENED * rows).clamp(min=0)
    half = (neck + overlap - top) / 2
    zero, full = torch.zeros_like(neck), torch.full_like(neck, width)
    head = [middle - half, top, middle + half, neck + overlap]
    upper = [zero, neck - overlap, full, hip + overlap]
    lower = [zero, hip - overlap, full, torch.full_like(neck, height)]
    return _inside(torch.stack([torch.stack(box, dim=1) for box in (head, upper, lower)], dim=1), size)


def _inside(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, N, 4) within the picture and at least one pixel wide and high, also those of points that lie outside."""
    limit = boxes.new_tensor([size[1], size[0]])
    low = boxes[..., :2].clamp(min=0).minimum(limit - 1)
    return torch.cat([low, boxes[..., 2:].minimum(limit).maximum(low + 1)], dim=-1)
