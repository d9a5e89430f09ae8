"""Masks over pictures and maps: foreground from a pose, pooling by parts, and pictures that are multiplied by them."""

import torch
from torch import Tensor
from torch.nn.functional import interpolate, max_pool2d

# Of Ma et al.'s code: the skeleton, then lines that fill trunk and head.
LIMBS = (
    *((1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10), (1, 11), (11, 12), (12, 13), (1, 0)),
    *((0, 14), (14, 16), (0, 15), (15, 17), (1, 16), (1, 17), (8, 11), (11, 5), (8, 2), (16, 17)),
)
RADIUS, CLOSING = 4, 5  # pixels of 128 x 64
EMPTY = 1e-6


def pose_mask(
    points: Tensor, size: tuple[int, int] = (128, 64), radius: int = RADIUS, closing: int = CLOSING
) -> Tensor:
    """Foreground (..., h, w) bool from points (..., 18, 3) in pixels of a map of `size` (h, w).

    Discs along the 23 limbs of which both ends are there, about `radius` apart, closed by a square; nothing for nobody.
    Source: the pose mask of Ma et al. (CVPR 2018), whose pictures are 128 x 64.
    """
    flat = points.flatten(0, -3) if points.ndim > 2 else points[None]
    masks = torch.stack([_discs(_centres(body, radius), size, radius) for body in flat])
    grown = max_pool2d(masks[:, None].float(), closing, 1, closing // 2)
    closed = -max_pool2d(-grown, closing, 1, closing // 2)
    return (closed[:, 0] > 0).view(*points.shape[:-2], *size)


def _centres(body: Tensor, radius: int) -> Tensor:
    """(18, 3) -> whole places (N, 2)."""
    places = [body.new_zeros(0, 2)]
    for first, second in LIMBS:
        ends = body[[first, second]]
        if (ends[:, 2] > 0).all():
            start, end = ends[:, :2]
            steps = max(1, int(torch.dist(start, end) / radius))
            places.append(start + (end - start) * torch.arange(steps + 1, device=body.device)[:, None] / steps)
    return torch.cat(places).trunc()


def _discs(centres: Tensor, size: tuple[int, int], radius: int) -> Tensor:
    """Whether a pixel of (h, w) is within `radius` of one of the places (N, 2)."""
    rows, columns = (torch.arange(length, device=centres.device) for length in size)
    squares = (rows - centres[:, 1:]).square()[:, :, None] + (columns - centres[:, :1]).square()[:, None]
    return (squares <= radius**2).any(0)


def mask_pooling(maps: Tensor, masks: Tensor) -> Tensor:
    """Means of a map (B, C, h, w) weighted by K masks (B, K, h, w), not negative -> (B, K, C).

    A mask of equal numbers gives the mean over the map; an empty one zero, which is ours (SPReID's code divides by 0).
    """
    sums = torch.einsum("bkhw,bchw->bkc", masks, maps)
    return sums / masks.sum((2, 3)).clamp(min=EMPTY)[..., None]


def masked_pictures(pictures: Tensor, parts: Tensor) -> Tensor:
    """Pictures (B, C, H, W) times the sum of K maps of parts (B, K, h, w), enlarged bilinearly."""
    return pictures * interpolate(parts.sum(1, keepdim=True), pictures.shape[2:], mode="bilinear", align_corners=False)
