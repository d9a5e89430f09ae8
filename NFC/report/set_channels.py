"""Which channels two pictures share as sets, and which only one of them has, drawn where the network sees them."""

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from .part_maps import tinted
from .pictures import Picture, PictureRow, Tile, open_picture
from .plots import picture_plot

COUNT = 3  # channels of each sort
SORTS = ("in both", "only left", "only right")
TINT = np.array([[0.84, 0.15, 0.16]])


def set_channel_plot(pictures: Sequence[Picture], maps: Tensor, title: str = "Channels") -> Figure:
    """Two pictures; for the strongest channels that both have, or one of them alone, where each picture has them.

    maps: (2, C, h, w), not negative, whose means over the places are the sets of `NFC.networks.mos`. A channel counts
    by its intersection min(a, b), or by what one set has more than the other.
    """
    first, second = maps.mean((2, 3))
    strengths = (torch.minimum(first, second), (first - second).clamp(min=0), (second - first).clamp(min=0))
    chosen = [(sort, channel) for sort, s in zip(SORTS, strengths, strict=True) for channel in s.topk(COUNT).indices]
    rows = []
    for number, picture in enumerate(map(open_picture, pictures)):
        heats = [Tile(heat(picture, maps[number, channel], maps[:, channel].max())) for _, channel in chosen]
        rows.append(PictureRow(("left", "right")[number], [Tile(picture), *heats]))
    return picture_plot(rows, ["picture", *(f"{sort}\n{int(channel)}" for sort, channel in chosen)], title)


def heat(picture: Image.Image, values: Tensor, largest: Tensor) -> Image.Image:
    """The picture in grey, tinted where a channel (h, w) is strong, on the scale of `largest`."""
    size = picture.height, picture.width
    shares = interpolate((values / largest.clamp(min=1e-12))[None, None].float().cpu(), size, mode="bilinear")
    return tinted(picture, shares[0].numpy(), TINT)
