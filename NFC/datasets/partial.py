"""Parts of pictures, as bad boxes and hidden people give them: how queries become partial or loose.

| kind | what is left or added | whose |
|---|---|---|
| partial | a band of 60 to 90 % of the height anywhere | AlignedReID++'s partial data sets |
| band | a band of 55 to 80 % anywhere | ours |
| upper | the top 55 to 80 %: the legs are missing | ours |
| loose | 20 to 45 % more, the edge rows repeated above and below: a box that is too tall | ours |

Shares and places are uniform; the width stays. Two tests are in use, and a report must say which: stretched back to the
picture's size by OpenCV's bilinear resizing (AlignedReID++), and as high as the part is (DSR).
"""

import cv2
import numpy as np

SHARES = {"partial": (0.6, 0.9), "band": (0.55, 0.8), "upper": (0.55, 0.8), "loose": (0.2, 0.45)}  # of the height


def kept_rows(height: int, kind: str, rng: np.random.Generator) -> tuple[int, int]:
    """The first row of a picture that `kind` leaves and the one behind the last; of "loose" both lie outside of it."""
    rows = max(1, round(height * float(rng.uniform(*SHARES[kind]))))
    place = float(rng.random())
    if kind == "loose":
        above = int(place * (rows + 1))
        return -above, height + rows - above
    top = 0 if kind == "upper" else int(place * (height - rows + 1))
    return top, top + rows


def cut(picture: np.ndarray, kind: str, rng: np.random.Generator) -> np.ndarray:
    """The part of a picture (H, W, ...) that `kind` leaves, (h, W, ...), or with `kind` loose what it adds to."""
    height = len(picture)
    first, stop = kept_rows(height, kind, rng)
    added = (max(-first, 0), max(stop - height, 0))
    return np.pad(picture[max(first, 0) : stop], (added, *[(0, 0)] * (picture.ndim - 1)), mode="edge")


def crop(picture: np.ndarray, kind: str, rng: np.random.Generator) -> np.ndarray:
    """`cut`, stretched back to the picture's size: (H, W, 3) uint8 -> (H, W, 3) uint8."""
    height, width = picture.shape[:2]
    return cv2.resize(cut(picture, kind, rng), (width, height), interpolation=cv2.INTER_LINEAR)
