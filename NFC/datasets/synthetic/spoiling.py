"""What makes rendered pictures harder to learn from: things in front, softness, greyness, light."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

PASTED, GREY = 0.2, 0.1  # shares of pictures
SOFT = {2: 0.15, 4: 0.1}  # by how much a picture is shrunk for softness: share


def spoil(pictures: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Pictures (B, 3, H, W) in [0, 1] with pieces of each other in front, soft, grey and in other light.

    Also returns (B, H, W) bool, where the pieces are.
    """
    pictures = pictures.clone()
    batch, _, height, width = pictures.shape
    covered = torch.zeros(batch, height, width, dtype=torch.bool)
    for row in np.flatnonzero(rng.random(batch) < PASTED):
        h, w = int(height * rng.uniform(0.15, 0.7)), int(width * rng.uniform(0.15, 0.5))
        y, x = int(rng.integers(height - h)), int(rng.integers(width - w))
        pictures[row, :, y : y + h, x : x + w] = pictures[row - 1, :, y : y + h, x : x + w]
        covered[row, y : y + h, x : x + w] = True
    for factor, share in SOFT.items():
        soft = torch.from_numpy(rng.random(batch) < share)
        small = F.interpolate(pictures[soft], scale_factor=1 / factor, mode="area")
        pictures[soft] = F.interpolate(small, size=(height, width), mode="bilinear")
    grey = torch.from_numpy(rng.random(batch) < GREY)
    pictures[grey] = pictures[grey].mean(1, keepdim=True).expand(-1, 3, -1, -1)
    light = torch.from_numpy(rng.uniform(0.7, 1.3, (batch, 1, 1, 1))).float()
    return (pictures * light).clamp(0, 1), covered
