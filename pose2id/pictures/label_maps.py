"""Label maps on disk: 8-bit PNG files whose values are class numbers, with a palette for looking at them."""

from pathlib import Path

import numpy as np
from PIL import Image

from . import write_picture


def write_label_map(path: str | Path, labels: np.ndarray) -> None:
    """Write class numbers (H, W) uint8, so that the file is either whole or not there."""
    picture = Image.fromarray(labels)
    picture.putpalette(voc_colours().tobytes())
    write_picture(path, picture)


def voc_colours() -> np.ndarray:
    """(256, 3) uint8, the colours of PASCAL VOC's label maps.

    The lowest three bits of a number are the highest of red, green and blue, the next three the second highest, ...
    """
    bits = np.arange(256)[:, None, None] >> np.arange(9).reshape(3, 3) & 1  # (number, place, channel)
    return (bits << np.array([[7], [6], [5]])).sum(1).astype(np.uint8)
