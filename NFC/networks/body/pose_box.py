"""PIE's PoseBox (Zheng et al., 2017): trunk, legs and arms of a pose put upright into one picture.

As in an author's code. There the points are those of Market's pictures scaled to 368 rows, 184 columns.
"""

import torch
from torch import Tensor

from .quads import OUTSIDE, applied, homographies, paste, pixels, sample

FRAME = 368, 184  # height and width that the quads' margins are of
SIZE = 224  # of the box, where `PLACES` are from
TORSO_MARGINS = ((-5.0, -5.0), (5.0, -5.0), (10.0, 0.0), (-10.0, 10.0))  # the hips' are not symmetric in the code
LEG, ARM = 15.0, 10.0  # half a limb's width
PAIRS = {"shoulder": (2, 5), "elbow": (3, 6), "wrist": (4, 7), "hip": (8, 11), "knee": (9, 12), "ankle": (10, 13)}
LIMBS = {
    "thigh": ("hip", "knee", LEG),
    "shin": ("knee", "ankle", LEG),
    "upper_arm": ("shoulder", "elbow", ARM),
    "forearm": ("elbow", "wrist", ARM),
}
# Row, column, height and width.
PLACES = {
    "torso": (0, 40, 112, 144),
    "thigh_l": (112, 0, 56, 112),
    "thigh_r": (112, 112, 56, 112),
    "shin_l": (168, 0, 56, 112),
    "shin_r": (168, 112, 56, 112),
    "upper_arm_l": (0, 0, 56, 40),
    "upper_arm_r": (0, 184, 56, 40),
    "forearm_l": (56, 0, 56, 40),
    "forearm_r": (56, 184, 56, 40),
}


def pose_quads(points: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Quads (B, 4, 2) by part and whether all their joints are there (B,), of 14 points (B, 14, 3) in the `FRAME`.

    "l" is the joint of smaller x, decided for each pair of joints by itself, whoever's left that is. A limb is a
    rectangle about its axis. Left out of the code: a random shift where the pose is unsure.
    """
    pairs = {name: _sorted(points, rows) for name, rows in PAIRS.items()}
    shoulders, hips = pairs["shoulder"], pairs["hip"]
    corners = torch.stack([shoulders[0], shoulders[1], hips[1], hips[0]], dim=-2)
    quads = {"torso": corners[..., :2] + points.new_tensor(TORSO_MARGINS)}
    seen = {"torso": (corners[..., 2] > 0).all(-1)}
    for name, (upper, lower, width) in LIMBS.items():
        for place, side in enumerate("lr"):
            start, end = pairs[upper][place], pairs[lower][place]
            quads[f"{name}_{side}"] = _limb(start[:, :2], end[:, :2], width)
            seen[f"{name}_{side}"] = (start[:, 2] > 0) & (end[:, 2] > 0)
    return quads, seen


def _sorted(points: Tensor, rows: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """The two joints (B, 3), smaller x first; of equals the second row."""
    first, second = points[:, rows[0]], points[:, rows[1]]
    kept = (first[:, 0] < second[:, 0])[:, None]
    return torch.where(kept, first, second), torch.where(kept, second, first)


def _limb(start: Tensor, end: Tensor, width: float) -> Tensor:
    """(B, 4, 2) about the axis of two joints (B, 2), which are moved apart where one is exactly above the other."""
    apart = (start[:, :1] == end[:, :1]) * start.new_tensor([1.0, 0.0])
    start, end = start + apart, end - apart
    axis = end - start
    normal = torch.stack([axis[:, 1], -axis[:, 0]], dim=1) / axis.norm(dim=1, keepdim=True)
    normal = width * torch.where(normal[:, :1] < 0, -normal, normal)
    return torch.stack([start - normal, start + normal, end + normal, end - normal], dim=1)


def pose_box(pictures: Tensor, points: Tensor, size: int = SIZE, fill: Tensor | float = 0.0) -> Tensor:
    """PoseBox 3 (B, C, size, size) of pictures (B, C, H, W) with 14 points (B, 14, 3) in their pixels.

    fill: numbers (C,) of black; what is outside of pictures, and parts with a missing joint, are black (the latter is
    ours). size: 224 or that divided by 2, 4 or 8. Everything is sampled in one go.
    """
    scale = points.new_tensor([pictures.shape[3] / FRAME[1], pictures.shape[2] / FRAME[0]]).double()
    framed = torch.cat([points[..., :2].double() / scale, points[..., 2:].double()], dim=-1)
    quads, seen = pose_quads(framed)
    places = []
    for name, bounds in PLACES.items():
        top, left, height, width = (bound * size // SIZE for bound in bounds)
        last = framed.new_tensor([width - 1, height - 1])
        unit = pixels(height, width, pictures.device) / last
        shown = applied(homographies(quads[name]), unit) * scale
        shown = torch.where(seen[name][:, None, None], shown, OUTSIDE)
        places.append(((top, left), shown.unflatten(1, (height, width))))
    canvas = framed.new_full((len(pictures), size, size, 2), OUTSIDE)
    return sample(pictures, paste(canvas, places), fill)
