"""A contact sheet: a picture on the left, beside it rows of tiles with their names, each row under its title."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from matplotlib import colormaps
from matplotlib.font_manager import FontProperties, findfont
from PIL import Image, ImageDraw, ImageFont

TILE = 256  # pixels, the height of a tile
NARROWEST, WIDEST = 128, 512  # columns of a tile; pictures in other forms are fitted in
MARGIN, LINE, BAR = 14, 19, (90, 12)
ACROSS = 1100  # columns of tiles beside the picture
TEXT, HEADING = 15, 18  # sizes of the font


@dataclass(frozen=True)
class NamedTile:
    picture: Image.Image
    name: str
    colour: str = "black"  # of the name


@dataclass(frozen=True)
class Strip:
    """Tiles under a title. scale: what the two ends of the colour map `colours` stand for; None for no scale."""

    title: str
    tiles: Sequence[NamedTile]
    scale: tuple[str, str] | None = None
    colours: str = "inferno"


@cache
def font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """matplotlib's own, which is on every machine."""
    return ImageFont.truetype(findfont(FontProperties("DejaVu Sans", weight="bold" if bold else "normal")), size)


def fitted(picture: Image.Image) -> Image.Image:
    """A picture as large as a tile, in its own form as far as it fits."""
    scale = min(TILE / picture.height, WIDEST / picture.width)
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    return picture.resize(size, Image.Resampling.BICUBIC)


def sheet(picture: Image.Image, name: str, strips: Sequence[Strip]) -> Image.Image:
    """picture: shown first, with its `name`. Every tile is `TILE` pixels high or, if it is very wide, less."""
    first = _cell(NamedTile(fitted(picture), name))
    beside = [_strip(strip) for strip in strips]
    left = first.width + 2 * MARGIN
    width = left + max((block.width for block in beside), default=0)
    top = MARGIN + LINE + MARGIN // 2
    height = max(top + first.height, MARGIN + sum(block.height + MARGIN for block in beside)) + MARGIN
    result = Image.new("RGB", (width + MARGIN, height), "white")
    result.paste(first, (MARGIN, top))
    down = MARGIN
    for block in beside:
        result.paste(block, (left, down))
        down += block.height + MARGIN
    return result


def _strip(strip: Strip) -> Image.Image:
    """Its title with the scale, and its tiles in as many rows as they need."""
    rows: list[list[Image.Image]] = [[]]
    for cell in map(_cell, strip.tiles):
        if rows[-1] and sum(other.width + MARGIN for other in rows[-1]) + cell.width > ACROSS:
            rows.append([])
        rows[-1].append(cell)
    heading = _heading(strip)
    width = max(heading.width, *(sum(cell.width + MARGIN for cell in row) for row in rows))
    height = heading.height + sum(max((cell.height for cell in row), default=0) + MARGIN // 2 for row in rows)
    result = Image.new("RGB", (width, height), "white")
    result.paste(heading)
    down = heading.height
    for row in rows:
        across = 0
        for cell in row:
            result.paste(cell, (across, down))
            across += cell.width + MARGIN
        down += max((cell.height for cell in row), default=0) + MARGIN // 2
    return result


def _heading(strip: Strip) -> Image.Image:
    """The title and, behind it, the scale: its lower end, the colours, its upper end."""
    bold, plain = font(HEADING, bold=True), font(TEXT)
    ends = strip.scale or ("", "")
    title, low, high = bold.getlength(strip.title), *(plain.getlength(end) for end in ends)
    result = Image.new("RGB", (round(title + low + high) + BAR[0] + 4 * MARGIN, LINE + MARGIN // 2), "white")
    draw = ImageDraw.Draw(result)
    draw.text((0, 0), strip.title, "black", bold)
    if strip.scale:
        ramp = colormaps[strip.colours](np.linspace(0, 1, BAR[0]))[None, :, :3].repeat(BAR[1], 0)
        start = round(title + 2 * MARGIN)
        draw.text((start, 2), ends[0], "black", plain)
        start += round(low) + MARGIN // 2
        result.paste(Image.fromarray((255 * ramp).round().astype(np.uint8)), (start, 5))
        draw.text((start + BAR[0] + MARGIN // 2, 2), ends[1], "black", plain)
    return result


def _cell(tile: NamedTile) -> Image.Image:
    """A tile above its name, which is broken into lines as wide as the tile."""
    width = max(tile.picture.width, NARROWEST)
    lines = wrapped(tile.name, width)
    result = Image.new("RGB", (width, tile.picture.height + 3 + LINE * len(lines)), "white")
    result.paste(tile.picture, ((width - tile.picture.width) // 2, 0))
    draw = ImageDraw.Draw(result)
    for number, line in enumerate(lines):
        at = (width - font(TEXT).getlength(line)) / 2, tile.picture.height + 3 + LINE * number
        draw.text(at, line, tile.colour, font(TEXT))
    return result


def wrapped(text: str, width: int) -> list[str]:
    """Lines of at most `width` pixels; a word that is longer is broken."""
    lines: list[str] = [""]
    for word in text.split():
        joined = f"{lines[-1]} {word}".strip()
        if font(TEXT).getlength(joined) <= width:
            lines[-1] = joined
            continue
        if lines[-1]:
            lines.append("")
        for letter in word:
            if font(TEXT).getlength(lines[-1] + letter) > width:
                lines.append("")
            lines[-1] += letter
    return lines
