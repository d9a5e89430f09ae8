"""Random changes to a batch of training pictures, all from one generator."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from pose2id.ranges import SHARE, Range, check_ranges

from ..networks.body.points import mirrored

ERASED_AREA = (0.02, 1 / 3)  # share of the picture, and ...
ERASED_SHAPE = 0.3  # ... height / width between this and its inverse (Zhong et al., arXiv 1708.04896)


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


def augment(pictures: Tensor, config: AugmentationConfig, generator: torch.Generator) -> Tensor:
    """(B, 3, H, W) float32 in [0, 1] -> the same, changed: gains, flip, shift with repeated edges, erasing."""
    return augment_with_points(pictures, None, config, generator)[0]


def augment_with_points(
    pictures: Tensor, points: Tensor | None, config: AugmentationConfig, generator: torch.Generator
) -> tuple[Tensor, Tensor | None]:
    """The same, and where the points (B, 18, 3) of the pictures are then; erasing hides none of them."""
    pictures = (pictures * _gains(pictures, config, generator)).clamp(0, 1)
    flipped = torch.rand(len(pictures), 1, 1, 1, generator=generator) < config.flip
    pictures, offsets = _shift(torch.where(flipped, pictures.flip(3), pictures), config.pad, generator)
    if points is not None:
        points = torch.where(flipped[..., 0], mirrored(points, pictures.shape[3]), points)
        moved = torch.cat([config.pad - offsets.flip(1), torch.zeros(len(points), 1)], dim=1)
        points = points + moved[:, None] * (points[..., 2:] > 0)
    return _erase(pictures, config.erase, generator), points


def _gains(pictures: Tensor, config: AugmentationConfig, generator: torch.Generator) -> Tensor:
    """(B, 3, 1, 1) factors."""
    batch = len(pictures)
    brightness = config.brightness * torch.randn(batch, 1, 1, 1, generator=generator)
    cast = config.cast * torch.randn(batch, 3, 1, 1, generator=generator)
    coloured = (pictures - pictures[:, :1]).abs().amax((1, 2, 3)) > 0
    return torch.exp(brightness + cast * coloured[:, None, None, None])


def _shift(pictures: Tensor, pad: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """The pictures, and the row and column (B, 2) int64 that each now begins with, counted in the padded one."""
    batch, _, height, width = pictures.shape
    padded = F.pad(pictures, (pad, pad, pad, pad), mode="replicate")
    offsets = torch.randint(2 * pad + 1, (batch, 2), generator=generator)
    begun = zip(padded, offsets.tolist(), strict=True)
    return torch.stack([p[:, y : y + height, x : x + width] for p, (y, x) in begun]), offsets


def _erase(pictures: Tensor, chance: float, generator: torch.Generator) -> Tensor:
    """A random rectangle of a random colour in `chance` of the pictures, in place."""
    _, _, height, width = pictures.shape
    draws = torch.rand(len(pictures), 8, generator=generator, dtype=torch.float64)
    for picture, (hit, area, shape, y, x, *colour) in zip(pictures, draws.tolist(), strict=True):
        if hit < chance:
            size = (ERASED_AREA[0] + area * (ERASED_AREA[1] - ERASED_AREA[0])) * height * width
            ratio = ERASED_SHAPE ** (1 - 2 * shape)
            rows = min(height, max(1, round((size * ratio) ** 0.5)))
            columns = min(width, max(1, round((size / ratio) ** 0.5)))
            top, left = int(y * (height - rows + 1)), int(x * (width - columns + 1))
            picture[:, top : top + rows, left : left + columns] = torch.tensor(colour)[:, None, None]
    return pictures
