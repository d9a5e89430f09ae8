"""What a network looked at (`NFC.networks.looks`), drawn: a sheet a picture, a figure for how two are compared."""

from collections.abc import Sequence
from functools import singledispatch

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.figure import Figure
from PIL import Image, ImageDraw
from torch import Tensor
from torch.nn.functional import grid_sample

from ..networks.blocks.limbs import BONES
from ..networks.looks import (
    Box,
    BoxLook,
    DifferenceLook,
    Look,
    MapLook,
    PartLook,
    PathLook,
    PictureLook,
    PointLook,
    SetLook,
)
from ..networks.preprocessing import Preprocessing
from .alignment import alignment_plot
from .pair_differences import difference_plot
from .part_maps import COLOURS, part_maps
from .pictures import Picture, open_picture
from .set_channels import set_channel_plot
from .sheets import NamedTile, Strip, fitted, sheet

HEAT = "inferno"
SHOWN = 0.65  # of the heat's colour, over the grey picture
SHADED = 0.35  # of the picture's light, outside of a box
LINE, DOT = 3, 4
SPACE = "\N{NO-BREAK SPACE}"


def look_sheet(picture: Image.Image, name: str, looks: Sequence[Look], preprocessing: Preprocessing) -> Image.Image:
    """The picture with its `name`, and a strip for each look. preprocessing: of the network's own pictures."""
    large = fitted(picture)
    return sheet(picture, name, [strip(look, large, preprocessing) for look in looks])


@singledispatch
def strip(look: Look, picture: Image.Image, preprocessing: Preprocessing) -> Strip:
    """A look over the RGB picture, which is as large as a tile."""
    raise NotImplementedError(f"nothing draws a {type(look).__name__}; register it here")


@strip.register
def _(look: MapLook, picture: Image.Image, preprocessing: Preprocessing) -> Strip:
    largest = [float(own.max()) for own in look.maps]
    full = [look.full or max(own, 1e-12) for own in largest]
    maps = spread_over(look.maps / torch.tensor(full, device=look.maps.device)[:, None, None], look.place, picture)
    names = [name.replace("_", " ") for name in look.names]
    alike = look.full or len(names) == 1
    if not alike:
        names = [f"{name} (to{SPACE}{value:.3g})" for name, value in zip(names, largest, strict=True)]
    tiles = [NamedTile(heat_over(picture, values), name) for values, name in zip(maps, names, strict=True)]
    return Strip(look.title, tiles, ("0", f"{full[0]:.3g}" if alike else "the largest of each"), HEAT)


@strip.register
def _(look: PartLook, picture: Image.Image, preprocessing: Preprocessing) -> Strip:
    """A colour a part, first all of them if there are several."""
    shares = spread_over(look.maps, look.place, picture)
    _, together, *each = part_maps(picture, shares)
    hidden = [seen is False for seen in (look.visible or [None] * len(each))]
    percent = [f"{100 * float(own.mean()):.0f}{SPACE}%" for own in look.maps]
    names = [
        f"{name}, {share}{', not seen' * off}" for name, share, off in zip(look.names, percent, hidden, strict=True)
    ]
    tiles = [NamedTile(tile, name) for tile, name in zip(each, names, strict=True)]
    return Strip(look.title, [NamedTile(together, "all"), *tiles] if len(tiles) > 1 else tiles)


@strip.register
def _(look: BoxLook, picture: Image.Image, preprocessing: Preprocessing) -> Strip:
    """All boxes, then each with the picture dark outside of it."""
    together, tiles = picture.copy(), []
    for number, (name, shares) in enumerate(zip(look.names, look.boxes.tolist(), strict=True)):
        colour, corners = COLOURS[number % len(COLOURS)], _pixels(shares, picture)
        single = Image.eval(picture, lambda value: int(SHADED * value))
        single.paste(picture.crop(corners), corners[:2])
        for tile in (together, single):
            ImageDraw.Draw(tile).rectangle(corners, outline=colour, width=LINE)
        tiles.append(NamedTile(single, name))
    return Strip(look.title, [NamedTile(together, "all"), *tiles])


@strip.register
def _(look: PointLook, picture: Image.Image, preprocessing: Preprocessing) -> Strip:
    """Points that are there, with the bones between them, a colour for each limb."""
    tile = picture.copy()
    draw, places = ImageDraw.Draw(tile), [_pixels(point[:2], picture) for point in look.points.tolist()]
    seen = (look.points[:, 2] > 0).tolist()
    for limb, bones in BONES.items():
        for start, end in bones:
            if seen[start] and seen[end]:
                draw.line([places[start], places[end]], COLOURS[limb % len(COLOURS)], LINE)
    for (x, y), known in zip(places, seen, strict=True):
        if known:
            draw.ellipse((x - DOT, y - DOT, x + DOT, y + DOT), "white", "black")
    return Strip(look.title, [NamedTile(tile, f"{sum(seen)} of {len(seen)} points" if any(seen) else "nobody known")])


@strip.register
def _(look: PictureLook, picture: Image.Image, preprocessing: Preprocessing) -> Strip:
    pixels = (255 * preprocessing.shown(look.pictures.cpu())).round().byte().permute(0, 2, 3, 1).numpy()
    pictures = [fitted(Image.fromarray(own)) for own in pixels]
    return Strip(look.title, [NamedTile(own, name) for own, name in zip(pictures, look.names, strict=True)])


@singledispatch
def pair_figure(look: Look, pictures: Sequence[Picture]) -> Figure:
    """How two pictures are compared."""
    raise NotImplementedError(f"nothing draws a {type(look).__name__}; register it here")


@pair_figure.register
def _(look: PathLook, pictures: Sequence[Picture]) -> Figure:
    return alignment_plot(pictures, look.stripes, look.title)


@pair_figure.register
def _(look: SetLook, pictures: Sequence[Picture]) -> Figure:
    return set_channel_plot(pictures, look.maps, look.title)


@pair_figure.register
def _(look: DifferenceLook, pictures: Sequence[Picture]) -> Figure:
    return difference_plot(look, pictures, fitted(open_picture(pictures[0])).size)


def spread_over(maps: Tensor, place: Box, picture: Image.Image) -> Tensor:
    """Maps (K, h, w) of what `place` holds -> (K, H, W), bilinear over the picture, their borders beyond it."""
    x1, y1, x2, y2 = place
    rows, columns = (
        (2 * ((torch.arange(side) + 0.5) / side - low) / (high - low) - 1)
        for side, low, high in ((picture.height, y1, y2), (picture.width, x1, x2))
    )
    grid = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), -1)[None]
    return grid_sample(maps[None].detach().float().cpu(), grid, padding_mode="border", align_corners=False)[0]


def heat_over(picture: Image.Image, values: Tensor) -> Image.Image:
    """The picture in grey under the colours of values (H, W) in [0, 1]."""
    grey = np.asarray(picture.convert("L"))[..., None] / 255
    colours = colormaps[HEAT](values.clamp(0, 1).numpy())[..., :3]
    return Image.fromarray((255 * ((1 - SHOWN) * grey + SHOWN * colours)).round().astype(np.uint8))


def _pixels(shares: Sequence[float], picture: Image.Image) -> tuple[int, ...]:
    """x, y, x, y and so on, in whole pixels of the picture."""
    limits = picture.width - 1, picture.height - 1
    return tuple(round(share * limits[axis % 2]) for axis, share in enumerate(shares))
