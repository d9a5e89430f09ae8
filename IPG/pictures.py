"""Picture files: which files of a folder count, writing them whole or not at all."""

import re
from pathlib import Path

from PIL import Image

from NFC.errors import UserError
from NFC.files import replacing

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
