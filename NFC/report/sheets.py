"""A contact sheet: a picture on the left, beside it tiles with their names, in groups with a title."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from matplotlib import colormaps
from matplotlib.font_manager import FontProperties, findfont
from PIL import Image, ImageDraw, ImageFont

from pose2id.errors import printable

TILE = 256  # pixels, the height of a tile
NARROWEST, WIDEST = 128, 512  # columns of a tile; pictures in other forms are fitted in
MARGIN, LINE, BAR = 14, 19, (90, 12)
ACROSS = 8 * (NARROWEST + 14)  # columns of tiles beside the picture
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
    first, beside = (
        _cell(NamedTile(fitted(picture), printable(name))),
        _flowing([_strip(strip) for strip in strips], 2 * MARGIN),
    )
    left, top = first.width + 2 * MARGIN, MARGIN + LINE + MARGIN // 2
    height = max(top + first.height, MARGIN + beside.height)
    result = Image.new("RGB", (left + beside.width + MARGIN, height + MARGIN), "white")
    result.paste(first, (MARGIN, top))
    result.paste(beside, (left, MARGIN))
    return result


def _strip(strip: Strip) -> Image.Image:
    """Its title with the scale, and its tiles in as many rows as they need."""
    heading, tiles = _heading(strip), _flowing([_cell(tile) for tile in strip.tiles])
    result = Image.new("RGB", (max(heading.width, tiles.width), heading.height + tiles.height), "white")
    result.paste(heading)
    result.paste(tiles, (0, heading.height))
    return result


def _flowing(blocks: Sequence[Image.Image], gap: int = MARGIN) -> Image.Image:
    """Blocks from left to right, `gap` pixels apart, in rows of at most `ACROSS` pixels or one block."""
    rows: list[list[Image.Image]] = [[]]
    for block in blocks:
        if rows[-1] and sum(other.width + gap for other in rows[-1]) + block.width > ACROSS:
            rows.append([])
        rows[-1].append(block)
    widths = [sum(block.width + gap for block in row) - gap for row in rows]
    heights = [max((block.height for block in row), default=0) for row in rows]
    result = Image.new("RGB", (max(0, *widths), sum(heights) + MARGIN * (len(rows) - 1)), "white")
    down = 0
    for row, height in zip(rows, heights, strict=True):
        across = 0
        for block in row:
            result.paste(block, (across, down))
            across += block.width + gap
        down += height + MARGIN
    return result


def _heading(strip: Strip) -> Image.Image:
    """The title and, behind it, the scale: its lower end, the colours, its upper end."""
    bold, plain = font(HEADING, bold=True), font(TEXT)
    ends = strip.scale or ("", "")
    title, low, high = bold.getlength(strip.title), *(plain.getlength(end) for end in ends)
    width = round(title + low + high) + BAR[0] + 3 * MARGIN + 2 if strip.scale else round(title) + 2
    result = Image.new("RGB", (width, LINE + MARGIN // 2), "white")
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
    """Lines of at most `width` pixels, broken at spaces; a word that is longer is broken."""
    lines: list[str] = [""]
    for word in text.split(" "):
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
