"""Picture files: reading them, writing them whole or not at all; pictures as tensors.

`list_pictures` (see `pose2id.reading.listing`) says which files of a folder count; nothing else opens a user's picture.
"""

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..errors import UserError, printable
from ..files import replacing
from ..reading.decoding import FORMATS, decode, decode_labels, grey_bits
from ..reading.listing import list_pictures

__all__ = [
    "RESIZE",
    "Unreadable",
    "list_pictures",
    "modified",
    "picture_tensor",
    "read_labels",
    "read_picture",
    "reading",
    "status",
    "write_picture",
]

Decoded = TypeVar("Decoded")

OPENCV_BILINEAR = "cv2_bilinear"  # samples four pixels however much smaller the picture gets; Pillow's average all
RESIZE = ("nearest", "bilinear", "bicubic", "lanczos", OPENCV_BILINEAR)
JPEG = {"format": "JPEG", "quality": 95, "subsampling": 0}
PNG, PPM = {"format": "PNG"}, {"format": "PPM"}
# By suffix, how pictures are written; the other formats lose nothing. Those that lose colours, or that not every
# installation can write, are written as PNG under their name: pictures are told by content.
WRITING: dict[str, dict[str, Any]] = {
    **dict.fromkeys(FORMATS["JPEG"], JPEG),
    **dict.fromkeys((*FORMATS["GIF"], *FORMATS["AVIF"], *FORMATS["HEIF"], *FORMATS["PNG"]), PNG),
    **dict.fromkeys(FORMATS["PPM"], PPM),
    ".webp": {"format": "WEBP", "lossless": True},
}
READER = 2  # counts the changes of how files are read
LARGEST_FILE = 2**30  # bytes; the picture library has its own limit of pixels


class Unreadable(UserError):
    """A picture file, or one beside it, is damaged or not there; others can still be read."""


def write_picture(path: str | Path, picture: Image.Image) -> None:
    """Write a picture in the format of its file name, so that the file is either whole or not there."""
    with replacing(path) as partial:
        picture.save(partial, **WRITING.get(Path(path).suffix.lower(), {}))


def read_picture(path: str | Path) -> Image.Image:
    """A picture file, fully decoded, as RGB, as `pose2id.reading.decoding` says.

    Only regular files are opened. Raises `Unreadable` naming a file that cannot be read or decoded.
    """
    return _read(path, decode, "picture")


def read_labels(path: str | Path) -> np.ndarray:
    """A label map, a PNG of one channel of 8 bits with or without a palette, as (H, W) uint8; errors as above."""
    return _read(path, decode_labels, "label map")


def _read(path: str | Path, decode: Callable[[BinaryIO], Decoded], what: str) -> Decoded:
    try:
        state = Path(path).stat()
        if not stat.S_ISREG(state.st_mode):
            raise ValueError("it is no regular file")
        if not 0 < state.st_size <= LARGEST_FILE:
            raise ValueError(f"it has more than {LARGEST_FILE:,} bytes" if state.st_size else "the file is empty")
        with Path(path).open("rb") as file:
            return decode(file)
    except UserError:
        raise
    except Exception as error:  # damaged files make the picture library raise errors of many kinds
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        reason = " ".join(str(reason).split()) or type(error).__name__
        raise Unreadable(f"cannot read {what} {printable(path)}: {reason}; replace or remove it") from error


def reading() -> str:
    """Changes where the same file is read as other pixels; belongs into the name of whatever keeps them."""
    return f"{READER} {grey_bits() or ''}".strip()


def modified(path: Path) -> int:
    """When a file was last written, in ns; `UserError` as of `status`."""
    return status(path).st_mtime_ns


def status(path: Path) -> os.stat_result:
    """What the system knows of a file; `UserError` naming one that is not there, such as a dangling link."""
    try:
        return path.stat()
    except OSError as error:
        raise UserError(f"cannot read picture {printable(path)}: {error.strerror}; replace or remove it") from error


def picture_tensor(picture: Image.Image, height: int, width: int, resize: str = "lanczos") -> Tensor:
    """Any PIL picture -> (3, height, width) float32 RGB in [0, 1], resized as one of `RESIZE`."""
    picture = picture.convert("RGB")
    if resize == OPENCV_BILINEAR:
        pixels = cv2.resize(np.array(picture), (width, height), interpolation=cv2.INTER_LINEAR)
    else:
        pixels = np.array(picture.resize((width, height), Image.Resampling[resize.upper()]))
    return torch.from_numpy(pixels).permute(2, 0, 1).float() / 255
