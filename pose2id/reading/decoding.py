"""What a picture file holds, as RGB: which formats are opened, turned how, grey of many bits, transparent pixels.

- Formats: those of `FORMATS`, told by content; nothing else is ever opened (PostScript would start another program). Of
  animations the first frame.
- Orientation: as a viewer shows the picture (EXIF or XMP tag, 2 to 8).
- Grey of more than 8 bits: 16 bits are scaled by 65535 to 255 (12-bit TIFF by 4095), floating point by 1. Of signed and
  32-bit integers the range that a camera uses is unknown: they need `POSE2ID_GREY_BITS`, which also says that a camera
  uses fewer of 16 bits: with 12, values 0..4095 (and floats 0..4095) become 0..255. Other values are refused.
- Transparency: the picture lies on black, as skeletons and cut-out people do; colours that hide under transparent
  pixels do not come through.
"""

import logging
import os
import warnings
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from threading import Event
from typing import BinaryIO

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from ..errors import UserError, printable

logger = logging.getLogger(__name__)
warnings.filterwarnings("ignore", "Corrupt EXIF|Truncated File|Tag data larger", UserWarning)  # notes do not matter

# Name in the picture library -> suffixes of such files.
FORMATS = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    "PNG": (".png", ".apng"),
    "BMP": (".bmp",),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
    "GIF": (".gif",),
    "JPEG2000": (".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm", ".pfm"),
    "AVIF": (".avif",),
    "HEIF": (".heic", ".heif"),  # where pillow-heif is installed
}
BACKGROUND = (0, 0, 0, 255)
GREY_BITS = "POSE2ID_GREY_BITS"
FEW_BITS = 14  # a 16-bit picture that uses no more is dark: perhaps its camera has no more

ORIENTATION, BITS_PER_SAMPLE, PHOTOMETRIC = 274, 258, 262  # tags of EXIF and TIFF
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode(file: BinaryIO) -> Image.Image:
    """An open picture file as an RGB picture, as the module says. Raises ValueError, or whatever the library raises."""
    try:
        picture = Image.open(file, formats=_formats())
    except UnidentifiedImageError as error:
        raise ValueError(f"its content is none of {', '.join(_formats())}") from error
    with picture:
        picture.load()
        turn = TURNS.get(_orientation(picture))
        upright = _rgb(picture, file.name)
    return upright if turn is None else upright.transpose(turn)


def decode_labels(file: BinaryIO) -> np.ndarray:
    """An open PNG of one channel of 8 bits -> its values (H, W) uint8, whatever colours a palette gives them.

    Raises ValueError for another kind of picture, or whatever the library raises.
    """
    with Image.open(file, formats=("PNG",)) as picture:
        if picture.mode not in ("P", "L"):
            raise ValueError(f"a label map has one channel of 8 bits, not the mode {picture.mode}")
        return np.array(picture)


def grey_bits() -> int | None:
    """How many bits cameras use for grey, from the environment; `UserError` for anything but 1 to 32."""
    text = os.environ.get(GREY_BITS, "")
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 3 and 1 <= int(text) <= 32):
        raise UserError(f"{GREY_BITS} is '{text}'; give the bits that cameras use for grey, 1 to 32, or unset it")
    return int(text)


@cache
def _formats() -> tuple[str, ...]:
    """Those of `FORMATS` that this installation reads."""
    if find_spec("pillow_heif"):
        from pillow_heif import register_heif_opener

        register_heif_opener()
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def _orientation(picture: Image.Image) -> int:
    try:
        return picture.getexif().get(ORIENTATION, 1)
    except Exception:  # a damaged note makes the library raise errors of many kinds; viewers show the picture as it is
        return 1


def _rgb(picture: Image.Image, name: object) -> Image.Image:
    if picture.mode.startswith(("I", "F")):
        return Image.fromarray(_grey(picture, name)).convert("RGB")
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    picture = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", picture.size, BACKGROUND), picture).convert("RGB")


def _grey(picture: Image.Image, name: object) -> np.ndarray:
    """A picture of one deep channel -> (H, W) uint8."""
    values = np.asarray(picture).astype(np.float64)
    tags = picture.tag_v2 if isinstance(picture, TiffImageFile) else {}
    bits = grey_bits()
    top = float(2**bits - 1) if bits else _range(picture, tags)
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and high <= top):  # also for NaN
        raise ValueError(
            f"its grey values go from {low:g} to {high:g}, not from 0 to {top:g}; say with {GREY_BITS} how many bits "
            "its camera uses, or convert it to 8 bits"
        )
    if top == 2**16 - 1 and 0 < high < 2**FEW_BITS and not bits:
        _tell_dark(int(high).bit_length(), name)
    grey = np.rint(values * 255 / top).astype(np.uint8)
    if tags.get(PHOTOMETRIC) == 0:  # white is zero
        grey = 255 - grey
    key = picture.info.get("transparency")  # the value of transparent pixels
    return np.where(values == key, np.uint8(BACKGROUND[0]), grey) if isinstance(key, int) else grey


def _range(picture: Image.Image, tags: Mapping[int, object]) -> float:
    """The largest value of the picture's type; ValueError where nobody knows which part of it cameras use."""
    if picture.mode == "F":
        return 1.0
    if picture.mode == "I" and picture.format not in ("PPM", "PNG"):  # these scale to 16 bits
        raise ValueError(
            f"its grey values are signed or have 32 bits; say with {GREY_BITS} how many of them its camera uses, or "
            "convert it to 8 or 16 bits"
        )
    return 4095.0 if tags.get(BITS_PER_SAMPLE) == (12,) else 65535.0


def _tell_dark(bits: int, name: object) -> None:
    """Once a process."""
    if _dark_told.is_set():
        return
    _dark_told.set()
    logger.warning(
        "picture %s uses only %d of 16 bits and so is dark; if its camera has no more, set %s (such as 12)",
        printable(name),
        bits,
        GREY_BITS,
    )


_dark_told = Event()
