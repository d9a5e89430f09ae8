"""RBNet's second look (Yu and Piao, 2024): the picture times a mask of parts. No code of its authors was found."""

from torch import Tensor
from torch.nn.functional import interpolate


def masked(pictures: Tensor, parts: Tensor) -> Tensor:
    """Pictures (B, 3, H, W) times the sum of parts (B, P, h, w), at least 0 and brought to H x W (bilinear).

    A mask that is 1 everywhere gives the pictures themselves. That the picture is multiplied, not the first map, and by
    the sum of the parts, is our reading of formulas that contradict the paper's figure.
    """
    mask = parts.clamp(min=0).sum(1, keepdim=True)
    return pictures * interpolate(mask, pictures.shape[2:], mode="bilinear", align_corners=False)
