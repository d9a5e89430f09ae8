"""Random changes to a batch of training pictures, all from one generator."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from pose2id.settings.ranges import SHARE, Range, check_ranges

from ..networks.blocks.parsing import mirrored as mirrored_labels
from ..networks.body.points import mirrored

ERASED_AREA = (0.02, 1 / 3)  # share of the picture, and ...
ERASED_SHAPE = 0.3  # ... height / width between this and its inverse (Zhong et al., arXiv 1708.04896)


Sides = tuple[tuple[int, int], ...]
SPREAD = Range(0, 10)  # of logarithms
RANGES = {"flip": SHARE, "erase": SHARE, "pad": Range(0, 1024), "brightness": SPREAD, "cast": SPREAD}


@dataclass
class AugmentationConfig:
    """Chances of flip and erasing in [0, 1]; `pad` is the largest random shift in pixels.

    `brightness` and `cast` are the standard deviations of the logarithm of a picture's gain, and of each of its
    channel's; grey pictures keep their channels equal.
    """

    flip: float = 0.5
    pad: int = 10
    erase: float = 0.5
    brightness: float = 0.0
    cast: float = 0.0

    def __post_init__(self) -> None:
        check_ranges(self, RANGES, "augmentation")


class Shown(NamedTuple):
    """pictures (B, 3, H, W) float32 in [0, 1]; points (B, 18, 3) and labels (B, H, W), whole, None where not told."""

    pictures: Tensor
    points: Tensor | None = None
    labels: Tensor | None = None


def augment(pictures: Tensor, config: AugmentationConfig, generator: torch.Generator) -> Tensor:
    """(B, 3, H, W) float32 in [0, 1] -> the same, changed: gains, flip, shift with repeated edges, erasing."""
    return augment_shown(Shown(pictures), config, generator).pictures


def augment_shown(shown: Shown, config: AugmentationConfig, generator: torch.Generator, sides: Sides = ()) -> Shown:
    """The same, and what is known of the bodies then; pictures do not depend on whether anything is.

    Erasing hides no points. What is erased, or comes in from outside, is background in label maps. sides: the labels
    that a mirror image exchanges.
    """
    pictures, points, labels = shown
    pictures = (pictures * _gains(pictures, config, generator)).clamp(0, 1)
    flipped = torch.rand(len(pictures), 1, 1, 1, generator=generator) < config.flip
    pictures, offsets = _shift(torch.where(flipped, pictures.flip(3), pictures), config.pad, generator)
    if points is not None:
        points = torch.where(flipped[..., 0], mirrored(points, pictures.shape[3]), points)
        moved = torch.cat([config.pad - offsets.flip(1), torch.zeros(len(points), 1)], dim=1)
        points = points + moved[:, None] * (points[..., 2:] > 0)
    pictures, erased = _erase(pictures, config.erase, generator)
    if labels is not None:
        turned = torch.where(flipped[..., 0], mirrored_labels(labels, sides), labels)
        cropped = _cropped(F.pad(turned, (config.pad,) * 4), offsets, labels.shape[1:])
        unknown = (labels < 0).flatten(1).all(1)[:, None, None]
        labels = torch.where(unknown, labels, cropped.masked_fill(erased, 0))
    return Shown(pictures, points, labels)


def _gains(pictures: Tensor, config: AugmentationConfig, generator: torch.Generator) -> Tensor:
    """(B, 3, 1, 1) factors."""
    batch = len(pictures)
    brightness = config.brightness * torch.randn(batch, 1, 1, 1, generator=generator)
    cast = config.cast * torch.randn(batch, 3, 1, 1, generator=generator)
    coloured = (pictures - pictures[:, :1]).abs().amax((1, 2, 3)) > 0
    return torch.exp(brightness + cast * coloured[:, None, None, None])


def _shift(pictures: Tensor, pad: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """The pictures, and the row and column (B, 2) int64 that each now begins with, counted in the padded one."""
    padded = F.pad(pictures, (pad, pad, pad, pad), mode="replicate")
    offsets = torch.randint(2 * pad + 1, (len(pictures), 2), generator=generator)
    return _cropped(padded, offsets, pictures.shape[2:]), offsets


def _cropped(padded: Tensor, offsets: Tensor, size: Sequence[int]) -> Tensor:
    """(B, ..., H, W) -> (B, ..., *size), each from its row and column on."""
    (height, width), begun = size, zip(padded, offsets.tolist(), strict=True)
    return torch.stack([each[..., y : y + height, x : x + width] for each, (y, x) in begun])


def _erase(pictures: Tensor, chance: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """A random rectangle of a random colour in `chance` of the pictures, in place; and where, (B, H, W) bool."""
    batch, _, height, width = pictures.shape
    erased = torch.zeros(batch, height, width, dtype=torch.bool)
    draws = torch.rand(len(pictures), 8, generator=generator, dtype=torch.float64)
    for picture, where, (hit, area, shape, y, x, *colour) in zip(pictures, erased, draws.tolist(), strict=True):
        if hit < chance:
            size = (ERASED_AREA[0] + area * (ERASED_AREA[1] - ERASED_AREA[0])) * height * width
            ratio = ERASED_SHAPE ** (1 - 2 * shape)
            rows = min(height, max(1, round((size * ratio) ** 0.5)))
            columns = min(width, max(1, round((size / ratio) ** 0.5)))
            top, left = int(y * (height - rows + 1)), int(x * (width - columns + 1))
            picture[:, top : top + rows, left : left + columns] = torch.tensor(colour)[:, None, None]
            where[top : top + rows, left : left + columns] = True
    return pictures, erased
