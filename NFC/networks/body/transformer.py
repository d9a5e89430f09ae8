"""The sampler of PDC's pose transformer network: an affine map of a picture, in its authors' coordinates."""

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def transformed(pictures: Tensor, theta: Tensor) -> Tensor:
    """(B, C, H, W) sampled bilinearly where theta (B, 6) takes each pixel, zero outside; differentiable in both.

    In the authors' layer theta acts on (row, column, 1), and pixel i of n is at 2 i / n - 1; so `IDENTITY` gives the
    pictures themselves. The (x, y) and centres of pixels of spatial transformers in general are another
    parametrization, not to be mixed with trained weights.
    """
    height, width = pictures.shape[2:]
    theta = theta.float()
    rows = (2 * torch.arange(height, device=theta.device) / height - 1)[:, None]
    columns = (2 * torch.arange(width, device=theta.device) / width - 1)[None]
    first, second = (
        matrix[:, 0, None, None] * rows + matrix[:, 1, None, None] * columns + matrix[:, 2, None, None]
        for matrix in theta.split(3, dim=1)
    )
    grid = torch.stack([second + 1 / width, first + 1 / height], dim=-1)
    return grid_sample(pictures, grid.to(pictures.dtype), align_corners=False)
