"""Pooling of a map by the parts of the body (SPReID, Kalayeh et al., CVPR 2018)."""

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ..body.masks import mask_pooling
from .parsing import PARSINGS, part_sums


def lip_regions(probabilities: Tensor) -> Tensor:
    """Of LIP's classes (B, 20, h, w) -> (B, 5, h, w): foreground, head, torso and arms, legs, shoes.

    The foreground is all but the background.
    """
    parts = part_sums(probabilities, PARSINGS["lip"].parts)
    return torch.cat([1 - parts[:, :1], parts[:, 1:]], 1)


def regions_of_labels(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Label maps (B, H, W) of `parsing.PARTS`, -1 unknown, -> (B, 5, *size) as above, shares of the pixels around."""
    hits = maps[:, None] == torch.arange(1, 5, device=maps.device)[:, None, None]
    shares = torch.nn.functional.adaptive_avg_pool2d(hits.float(), size)
    return torch.cat([shares.sum(1, keepdim=True), shares], 1)


def resized(features: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, C, h, w) -> (B, C, *size), bilinear, corners on corners."""
    return interpolate(features, size, mode="bilinear", align_corners=True)


def semantic_feature(features: Tensor, regions: Tensor) -> Tensor:
    """A map (B, C, h, w) and regions (B, 5, H, W) -> (B, 3 C): foreground, maximum over the parts, mean of the map.

    The map is brought to the size of the regions for the first two.
    """
    means = mask_pooling(resized(features, regions.shape[2:]), regions)
    return torch.cat([means[:, 0], means[:, 1:].amax(1), features.mean((2, 3))], 1)
