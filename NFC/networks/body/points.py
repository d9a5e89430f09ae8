"""The 18 points of a body as OpenPose orders them, and the orders that pose-guided networks know.

"Right" is the person's own right.
"""

import torch
from torch import Tensor

SIDED = ("shoulder", "elbow", "wrist"), ("hip", "knee", "ankle")
NAMES = (
    "nose",
    "neck",
    *(f"{side}_{joint}" for joints in SIDED for side in ("right", "left") for joint in joints),
    "right_eye",
    "left_eye",
    "right_ear",
    "left_ear",
)
POINTS = len(NAMES)
SWAPPED = [0, 1, 5, 6, 7, 2, 3, 4, 11, 12, 13, 8, 9, 10, 15, 14, 17, 16]  # the row each becomes in a mirror
FACE, NECK, HIPS = [0, 14, 15, 16, 17], 1, [8, 11]
ABOVE_FACE, ABOVE_NECK = 0.9, 0.45  # where the head ends, see `fourteen`
OF_COCO = {0: 0, 2: 6, 3: 8, 4: 10, 5: 5, 6: 7, 7: 9, 8: 12, 9: 14, 10: 16, 11: 11, 12: 13, 13: 15, 14: 2, 15: 1} | {
    16: 4,
    17: 3,
}
TO_COCO = sorted(OF_COCO, key=OF_COCO.__getitem__)  # the row of each of COCO's 17
COCO_NAMES = tuple(NAMES[row] for row in TO_COCO)


def nobody(count: int, like: Tensor) -> Tensor:
    """(count, 18, 3): all missing."""
    return torch.zeros(count, POINTS, 3, device=like.device)


def present(points: Tensor) -> Tensor:
    """(..., K, 3) with zeros for what is missing: points of confidence 0, or with a number that is NaN or infinite."""
    seen = (points[..., 2:] > 0) & points.isfinite().all(-1, keepdim=True)
    return torch.where(seen, points, torch.zeros_like(points))


def mirrored(points: Tensor, width: int) -> Tensor:
    """(..., 18, 3) of the mirror image of a picture of `width`: left becomes right; missing points stay as they are."""
    x, y, confidence = points[..., SWAPPED, :].unbind(-1)
    return torch.stack([torch.where(confidence > 0, width - 1 - x, x), y, confidence], dim=-1)


def resized(points: Tensor, source: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """(..., K, 3) of a picture of `source` (height, width) -> of the same resized to `size`, without its corners moved.

    That is x * new width / width, as the authors of pose-guided networks have it.
    """
    factors = points.new_tensor([size[1] / source[1], size[0] / source[0], 1])
    return points * factors


def from_coco(points: Tensor) -> Tensor:
    """COCO's 17 (..., 17, 3) -> (..., 18, 3): the neck is between the shoulders, missing where one of them is."""
    shoulders = points[..., 5:7, :]
    seen = (shoulders[..., 2] > 0).all(-1)[..., None]
    neck = torch.cat([shoulders[..., :2].mean(-2), shoulders[..., 2:].amin(-2)], dim=-1) * seen
    rows = [neck if row == NECK else points[..., OF_COCO[row], :] for row in range(POINTS)]
    return torch.stack(rows, dim=-2)


def to_coco(points: Tensor) -> Tensor:
    """(..., 18, 3) -> COCO's 17 (..., 17, 3): all but the neck."""
    return points[..., TO_COCO, :]


def fourteen(points: Tensor) -> Tensor:
    """(..., 18, 3) -> (..., 14, 3): the head's top, then rows 1 to 13, as PIE, Spindle Net, PDC and GLAD order them.

    The top is not among the 18. Ours: 0.9 of the way from the neck to the mean of the visible points of the face beyond
    it; without a face, from neck and hips, 0.45 of their distance above the neck. Missing where these are.
    """
    points = present(points)
    neck, face, hips = points[..., NECK, :], points[..., FACE, :], points[..., HIPS, :]
    weights = (face[..., 2:] > 0).to(points.dtype)
    middle = (face[..., :2] * weights).sum(-2) / weights.sum(-2).clamp(min=1)
    has_neck, has_face = neck[..., 2:] > 0, weights.sum(-2) > 0
    of_face = middle + ABOVE_FACE * (middle - neck[..., :2])
    of_hips = neck[..., :2] + ABOVE_NECK * (neck[..., :2] - hips[..., :2].mean(-2))
    known = has_neck & (has_face | (hips[..., 2] > 0).all(-1)[..., None])
    top = torch.where(has_face, of_face, of_hips)
    top = torch.cat([top, neck[..., 2:]], dim=-1) * known
    return torch.cat([top[..., None, :], points[..., 1:14, :]], dim=-2)
