"""Masks over pictures and maps: foreground from a pose, pooling by parts, and pictures that are multiplied by them."""

import torch
from torch import Tensor
from torch.nn.functional import conv2d, interpolate

from .points import POINTS, present

# Of Ma et al.'s code: the skeleton, then lines that fill trunk and head.
LIMBS = (
    *((1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10), (1, 11), (11, 12), (12, 13), (1, 0)),
    *((0, 14), (14, 16), (0, 15), (15, 17), (1, 16), (1, 17), (8, 11), (11, 5), (8, 2), (16, 17)),
)
FRAME = 128, 64  # height and width of their pictures, which these are pixels of
RADIUS, CLOSING = 4, 5
MOST_STEPS = 1024  # along a limb; one that is longer than 4,096 pixels has discs further apart (ours)
EMPTY = 1e-6


def pose_mask(points: Tensor, size: tuple[int, int] = FRAME, radius: int = RADIUS, closing: int = CLOSING) -> Tensor:
    """Foreground (..., h, w) bool from points (..., 18, 3) in pixels of a map of `size` (h, w).

    Discs along the 23 limbs of which both ends are there, about `radius` apart, closed by a square; nothing for nobody.
    Source: the pose mask of Ma et al. (CVPR 2018), whose pictures are 128 x 64.
    """
    centres = _centres(present(points).reshape(-1, POINTS, 3).float(), radius)
    square = centres.new_ones(closing, closing)
    grown = _grown(_discs(centres, size, radius), square)
    return (~_grown(~grown, square)).view(*points.shape[:-2], *size)


def _centres(bodies: Tensor, radius: int) -> Tensor:
    """(B, 18, 3) -> whole places (B, N, 2), some of them more than once; NaN for those of a limb that is not there."""
    start, end = bodies[:, torch.tensor(LIMBS, device=bodies.device)].unbind(2)
    offset, seen = end[..., :2] - start[..., :2], (start[..., 2] > 0) & (end[..., 2] > 0)
    steps = (offset.norm(dim=-1, keepdim=True) / radius).clamp(1, MOST_STEPS).floor()
    numbers = torch.arange(int(steps.max()) + 1, device=bodies.device).minimum(steps)[..., None]
    places = start[:, :, None, :2] + offset[:, :, None] * numbers / steps[..., None]
    return places.trunc().masked_fill(~seen[..., None, None], float("nan")).flatten(1, 2)


def _discs(centres: Tensor, size: tuple[int, int], radius: int) -> Tensor:
    """(B, h, w) bool: whether a pixel is within `radius` of one of the places (B, N, 2)."""
    height, width = (side + 2 * radius for side in size)
    x, y = (centres + radius).unbind(-1)
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    marks = torch.zeros(len(centres), height, width, dtype=torch.bool, device=centres.device)
    marks[inside.nonzero()[:, 0], y[inside].long(), x[inside].long()] = True
    squares = torch.arange(-radius, radius + 1, device=centres.device).square()
    disc = (squares[:, None] + squares <= radius**2).to(centres.dtype)
    return _grown(marks, disc)[:, radius : radius + size[0], radius : radius + size[1]]


def _grown(marks: Tensor, shape: Tensor) -> Tensor:
    """(B, h, w) bool: whether a mark lies within the shape (k, k), of 0 and 1, about a pixel; k is odd."""
    shapes = shape.expand(len(marks), 1, *shape.shape)
    with torch.autocast(marks.device.type, enabled=False):
        hits = conv2d(marks[None].to(shape.dtype), shapes, padding=len(shape) // 2, groups=len(marks))
    return hits[0] > 0.5


def mask_pooling(maps: Tensor, masks: Tensor) -> Tensor:
    """Means of a map (B, C, h, w) weighted by K masks (B, K, h, w), not negative -> (B, K, C).

    A mask of equal numbers gives the mean over the map; an empty one zero, which is ours (SPReID's code divides by 0).
    """
    sums = torch.einsum("bkhw,bchw->bkc", masks, maps)
    return sums / masks.sum((2, 3)).clamp(min=EMPTY)[..., None]


def masked_pictures(pictures: Tensor, parts: Tensor) -> Tensor:
    """RBNet's second look (Yu and Piao, 2024): pictures (B, C, H, W) times the sum of K maps of parts (B, K, h, w).

    The maps count from 0 up and are enlarged bilinearly; a mask that is 1 everywhere gives the pictures themselves.
    That the picture is multiplied, not the first map, is our reading of formulas that contradict the paper's figure.
    """
    mask = parts.clamp(min=0).sum(1, keepdim=True)
    return pictures * interpolate(mask, pictures.shape[2:], mode="bilinear", align_corners=False)
