"""PDC's six parts (Su et al., ICCV 2017), cut with the limb turned to point down and placed in one picture.

One matrix a part, where the authors' code turns the picture and crops it; such crops can be empty and crash.
"""

import torch
from torch import Tensor

from .quads import OUTSIDE, applied, paste, pixels, sample

FRAME = 256, 128  # height and width of the pictures that the margins are of
PADDING = 64  # columns repeated on both sides
HEAD_SIDE = 60.0
HIPS = [8, 11]
# Rows of the 14 points that a limb goes between, and its name; then pixels to either side, beyond the ends.
LIMBS = {"right_arm": (2, 4), "left_arm": (5, 7), "right_leg": (8, 10), "left_leg": (11, 13)}
LIMB_MARGINS, BODY_MARGINS = (20.0, 15.0), (40.0, 34.0)
# Row, column, height and width in the picture of parts, which is as large as `FRAME`.
PLACES = {
    "right_arm": (0, 0, 128, 32),
    "left_arm": (0, 96, 128, 32),
    "right_leg": (128, 0, 128, 32),
    "left_leg": (128, 96, 128, 32),
    "body": (64, 32, 128, 64),
    "head": (0, 32, 64, 64),
}


def part_matrices(points: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Matrices (B, 2, 3) by part, and whether its joints are there (B,), of points (B, 14, 3) of a picture in `FRAME`.

    A matrix takes (column, row, 1) of a pixel of the part to x and y in the picture with `PADDING` on both sides.
    A limb without a length points down.
    """
    places, seen = points[..., :2] + points.new_tensor([PADDING, 0]), points[..., 2] > 0
    matrices = {name: _limb(places[:, a], places[:, b], name, LIMB_MARGINS) for name, (a, b) in LIMBS.items()}
    known = {name: seen[:, a] & seen[:, b] for name, (a, b) in LIMBS.items()}
    matrices["body"] = _limb(places[:, 1], places[:, HIPS].mean(1), "body", BODY_MARGINS)
    matrices["head"] = _square(places[:, 0], "head", HEAD_SIDE)
    return matrices, known | {"body": seen[:, [1, *HIPS]].all(1), "head": seen[:, 0]}


def _limb(start: Tensor, end: Tensor, name: str, margins: tuple[float, float]) -> Tensor:
    """From above `start` to below `end`, (B, 2) both."""
    _, _, height, width = PLACES[name]
    length = (end - start).norm(dim=1, keepdim=True)
    down = torch.where(length > 0, (end - start) / length.clamp(min=1e-9), start.new_tensor([0.0, 1.0]))
    across = torch.stack([down[:, 1], -down[:, 0]], dim=1)
    sides, beyond = margins
    step_across, step_down = across * (2 * sides / width), down * ((length + 2 * beyond) / height)
    corner = start - beyond * down - sides * across
    return _matrix(step_across, step_down, corner)


def _square(middle: Tensor, name: str, side: float) -> Tensor:
    _, _, height, width = PLACES[name]
    steps = middle.new_tensor([[side / width, 0.0], [0.0, side / height]]).expand(len(middle), 2, 2)
    return _matrix(steps[:, 0], steps[:, 1], middle - side / 2)


def _matrix(across: Tensor, down: Tensor, corner: Tensor) -> Tensor:
    """(B, 2, 3) of the steps of a column and a row and of the upper left corner of the first pixel."""
    return torch.stack([across, down, corner + (across + down) / 2], dim=-1)


def part_picture(pictures: Tensor, points: Tensor, fill: Tensor | float = 0.0) -> Tensor:
    """Parts (B, C, H, W) of pictures (B, C, H, W), H = 2 W, with 14 points (B, 14, 3) in their pixels.

    fill: numbers (C,) of black, which is everything else, and (ours) a part with a missing joint. Beyond the left and
    right border the picture's columns are repeated, as the authors do for their pose network. H: a multiple of 4.
    """
    height, width = pictures.shape[2:]
    scale = points.new_tensor([width / FRAME[1], height / FRAME[0]]).double()
    framed = torch.cat([points[..., :2].double() / scale, points[..., 2:].double()], dim=-1)
    matrices, known = part_matrices(framed)
    padding = framed.new_tensor([PADDING, 0.0])
    places = []
    for name, bounds in PLACES.items():
        top, left, rows, columns = (bound * height // FRAME[0] for bound in bounds)
        unit = (pixels(rows, columns, pictures.device) + 0.5) * (FRAME[0] / height) - 0.5
        shown = (applied(matrices[name], unit) - padding) * scale
        beyond = PADDING * scale[0]
        inside = (shown[..., :1] >= -beyond) & (shown[..., :1] < width + beyond) & known[name][:, None, None]
        repeated = torch.stack([shown[..., 0].clamp(0, width - 1), shown[..., 1]], dim=-1)
        shown = torch.where(inside, repeated, OUTSIDE)
        places.append(((top, left), shown.unflatten(1, (rows, columns))))
    canvas = framed.new_full((len(pictures), height, width, 2), OUTSIDE)
    return sample(pictures, paste(canvas, places), fill)
