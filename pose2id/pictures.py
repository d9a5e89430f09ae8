"""Picture files: which files of a folder count, reading them, writing them whole or not at all; pictures as tensors."""

import re
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from .errors import UserError
from .files import replacing

OPENCV_BILINEAR = "cv2_bilinear"  # samples four pixels however much smaller the picture gets; Pillow's average all
RESIZE = ("nearest", "bilinear", "bicubic", "lanczos", OPENCV_BILINEAR)
PICTURE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"}
JPEG = {"quality": 95, "subsampling": 0}
WRITING = {".jpg": JPEG, ".jpeg": JPEG, ".webp": {"lossless": True}}  # the other formats lose nothing
SIDE_SUFFIXES = {".json", ".md", ".txt"}  # notes and keypoints that live beside pictures


def list_pictures(folder: str | Path) -> tuple[list[Path], list[Path]]:
    """The picture files of a folder and the files that should not be there, each in natural order.

    Folders, hidden files and side files (.json, .md, .txt) are neither. "pose2" comes before "pose10".
    Raises `UserError` when the folder does not exist.
    """
    if not Path(folder).is_dir():
        raise UserError(f"folder {folder} does not exist; give an existing folder of pictures")
    files = [p for p in Path(folder).iterdir() if p.is_file() and not p.name.startswith(".")]
    files = sorted((p for p in files if p.suffix.lower() not in SIDE_SUFFIXES), key=natural_key)
    pictures = [p for p in files if p.suffix.lower() in PICTURE_SUFFIXES]
    return pictures, [p for p in files if p not in set(pictures)]


def natural_key(path: Path) -> tuple:
    """Sort key that compares runs of digits in the file name as numbers."""
    parts = re.split(r"(\d+)", path.name)
    return tuple(int(part) if part.isdecimal() else part for part in parts), path.name


def write_picture(path: str | Path, picture: Image.Image) -> None:
    """Write a picture in the format of its file name, so that the file is either whole or not there."""
    with replacing(path) as partial:
        picture.save(partial, **WRITING.get(Path(path).suffix.lower(), {}))


def read_picture(path: str | Path) -> Image.Image:
    """A picture file, fully decoded, as RGB. Raises `UserError` naming a file that cannot be decoded."""
    try:
        with Image.open(path) as picture:
            return picture.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        reason = "the file is empty" if Path(path).is_file() and not Path(path).stat().st_size else error
        raise UserError(f"cannot read picture {path}: {' '.join(str(reason).split())}; replace or remove it") from error


def picture_tensor(picture: Image.Image, height: int, width: int, resize: str = "lanczos") -> Tensor:
    """Any PIL picture -> (3, height, width) float32 RGB in [0, 1], resized as one of `RESIZE`."""
    picture = picture.convert("RGB")
    if resize == OPENCV_BILINEAR:
        pixels = cv2.resize(np.array(picture), (width, height), interpolation=cv2.INTER_LINEAR)
    else:
        pixels = np.array(picture.resize((width, height), Image.Resampling[resize.upper()]))
    return torch.from_numpy(pixels).permute(2, 0, 1).float() / 255
