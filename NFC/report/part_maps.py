"""Which positions of a picture a network assigns to which part, drawn over it."""

from collections.abc import Sequence

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from pose2id.errors import UserError

from .pictures import Picture, PictureRow, Tile, open_picture
from .plots import picture_plot

# Safe for the colour-blind, and none of them grey (Okabe and Ito).
COLOURS = "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#f0e442", "#d55e00", "#56b4e9"
SHOWN = 0.75  # of the colour, where a position is a part's alone


def part_map_plot(pictures: Sequence[Picture], assignment: Tensor, title: str = "Parts") -> Figure:
    """A row a picture: as it is, with the colours of all parts, and with each part's alone.

    assignment: (N, parts, h, w) in [0, 1], such as `PCBRPP.assignment` gives; `UserError` for another number of
    pictures.
    """
    if assignment.ndim != 4 or len(assignment) != len(pictures):
        raise UserError(f"an assignment must be (N, parts, h, w) for N pictures, got {tuple(assignment.shape)}")
    parts = range(1, assignment.shape[1] + 1)
    rows = [
        PictureRow(str(number), [Tile(tile) for tile in part_maps(open_picture(picture), shares)])
        for number, (picture, shares) in enumerate(zip(pictures, assignment, strict=True), 1)
    ]
    return picture_plot(rows, ["picture", "all", *(f"part {part}" for part in parts)], title)


def part_maps(picture: Image.Image, shares: Tensor) -> list[Image.Image]:
    """RGB and (parts, h, w) in [0, 1] -> the picture, that in the colours of all parts, that in each part's."""
    size = picture.height, picture.width
    large = interpolate(shares[None].detach().float().cpu(), size, mode="bilinear", align_corners=False)[0].numpy()
    colours = np.array([to_rgb(COLOURS[part % len(COLOURS)]) for part in range(len(large))])
    return [picture, tinted(picture, large, colours)] + [
        tinted(picture, large[part : part + 1], colours[part : part + 1]) for part in range(len(large))
    ]


def tinted(picture: Image.Image, shares: np.ndarray, colours: np.ndarray) -> Image.Image:
    """The picture in grey, mixed at each place with colours (parts, 3) as much as shares (parts, H, W) say."""
    grey = np.asarray(picture.convert("L"))[..., None] / 255
    weights = SHOWN * np.moveaxis(shares, 0, -1)  # (H, W, parts)
    mixed = (1 - weights.sum(-1, keepdims=True)) * grey + weights @ colours
    return Image.fromarray((255 * mixed.clip(0, 1)).round().astype(np.uint8))
