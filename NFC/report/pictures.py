"""Pictures for figures and pages: read, made small, told right from wrong."""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from PIL import Image

from pose2id.pictures import read_picture

RIGHT, WRONG = "#1a9641", "#d7191c"  # frames; wrong ones are dashed too, for those who see no difference
THUMBNAIL = 64, 128  # width, height

Picture = Image.Image | Path


@dataclass(frozen=True)
class Tile:
    """A picture and whether it is right; None where there is no right or wrong."""

    picture: Picture
    correct: bool | None = None


@dataclass(frozen=True)
class PictureRow:
    """Pictures side by side with a label."""

    label: str
    tiles: Sequence[Tile]


def open_picture(picture: Picture) -> Image.Image:
    """An RGB picture from a file or as it is; `UserError` naming a file that cannot be read."""
    return picture.convert("RGB") if isinstance(picture, Image.Image) else read_picture(picture)


def jpeg_uri(picture: Picture, size: tuple[int, int] = THUMBNAIL) -> str:
    """A picture within (width, height) `size`, as a `data:` address of a small JPEG."""
    thumbnail = open_picture(picture)
    thumbnail.thumbnail(size, Image.Resampling.LANCZOS)
    content = BytesIO()
    thumbnail.save(content, "JPEG", quality=80)
    return data_uri(content.getvalue(), "image/jpeg")


def data_uri(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{b64encode(content).decode()}"
