"""Body parts drawn from keypoints: each pixel is of the limb it is nearest to (Pascal-Person-Part's seven classes)."""

import torch
from torch import Tensor

WIDTH = 0.06  # of the picture's height: how far from its bone a limb reaches; ours
CONFIDENCE = 0.3  # of a keypoint, for the limbs that end there to exist; ours
TORSO = 2
OUTLINE = (2, 5, 11, 8)  # of the torso: shoulders and hips
# Class -> bones, pairs of rows of OpenPose's 18 keypoints. The bones of the head are ours.
BONES = {
    1: ((1, 0), (0, 14), (0, 15), (14, 16), (15, 17)),
    TORSO: tuple(zip(OUTLINE, (*OUTLINE[1:], OUTLINE[0]), strict=True)),
    3: ((2, 3), (5, 6)),
    4: ((3, 4), (6, 7)),
    5: ((8, 9), (11, 12)),
    6: ((9, 10), (12, 13)),
}


def limb_map(keypoints: Tensor, height: int, width: int) -> Tensor:
    """Keypoints (18, 3) of x, y in pixels and confidence -> (height, width) int64, 0 the background.

    A pixel is of the limb whose bone is nearest to its centre, if nearer than `WIDTH`; the torso is the quadrilateral
    of shoulders and hips, as far as these are there. A limb with a point below `CONFIDENCE`, or that is no number,
    does not exist; without any limb all is background.
    """
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    centres = torch.stack([columns, rows], -1).flatten(0, 1).to(keypoints.device, torch.float32) + 0.5
    seen = (keypoints[:, 2] >= CONFIDENCE) & keypoints.isfinite().all(1)
    points = keypoints[:, :2].float()
    distances = torch.full((max(BONES) + 1, len(centres)), float("inf"), device=centres.device)
    distances[0] = WIDTH * height
    for limb, bones in BONES.items():
        if limb == TORSO and not seen[list(OUTLINE)].all():
            continue
        for start, end in bones:
            if seen[start] and seen[end]:
                distances[limb] = torch.minimum(distances[limb], to_segment(centres, points[start], points[end]))
    if distances[TORSO].isfinite().any():
        distances[TORSO].masked_fill_(inside(centres, points[list(OUTLINE)]), 0.0)
    return distances.argmin(0).view(height, width)


def to_segment(points: Tensor, start: Tensor, end: Tensor) -> Tensor:
    """(N, 2) -> (N,): distances to the segment between two points (2,), which may be one and the same."""
    bone, offset = end - start, points - start
    share = (offset @ bone / bone.square().sum().clamp(min=1e-12)).clamp(0, 1)
    return (offset - share[:, None] * bone).norm(dim=1)


def inside(points: Tensor, corners: Tensor) -> Tensor:
    """(N, 2) and a polygon (K, 2) -> (N,) bool, by the number of edges to the right of a point."""
    x, y = points.T[..., None]
    (x1, y1), (x2, y2) = corners.T, corners.roll(-1, 0).T
    rise = torch.where(y1 == y2, torch.ones_like(y1), y2 - y1)
    crosses = ((y1 > y) != (y2 > y)) & (x < x1 + (y - y1) / rise * (x2 - x1))
    return crosses.sum(1) % 2 == 1
