"""What a pose picture shows, by its colours: channels the wrong way round, nothing, several people, a bright ground."""

import cv2
import numpy as np
from PIL import Image

from .skeleton import COLOURS, LIMBS

LIT = 60  # of 255; darker pixels are ground
BRIGHT = 0.8 * 255  # joints are, limbs are not
PURE = 0.2  # a palette colour may be this far off, over its largest channel; neighbours are 0.33 apart
LARGEST = 256  # rows that are looked at
SURE = 3  # limbs between the right joints


def looks_swapped(picture: Image.Image) -> bool:
    """Whether an RGB picture shows the canonical skeleton with red and blue exchanged; False where that is unsure.

    Exchanging them maps the palette to itself, so colours alone do not tell: limbs must join the right joints.
    """
    pixels = _pixels(picture)
    return _joined_limbs(pixels[..., ::-1]) >= max(SURE, 2 * _joined_limbs(pixels))


def remarks(picture: Image.Image) -> list[str]:
    """What is odd about a pose picture, RGB in canonical colours, each as the end of a sentence; mostly nothing."""
    pixels, found = _pixels(picture), []
    lit = pixels.max(axis=2) > LIT
    rim = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    if picture.width > picture.height:
        found.append(f"is wider than high ({picture.width} x {picture.height}) and will be squeezed")
    if np.median(rim.min(axis=1)) > 127:
        found.append("lies on a bright ground, not on black")
    elif not lit.any():
        found.append("is empty")
    elif (_palette_index(pixels)[lit] >= 0).mean() < 0.5:
        found.append("shows no skeleton in the colours of OpenPose")
    elif _several_people(pixels):
        found.append("shows several people")
    return found


def _pixels(picture: Image.Image) -> np.ndarray:
    """(h, w, 3) float32, with at most `LARGEST` rows or so."""
    return np.asarray(picture.reduce(max(1, picture.height // LARGEST)), dtype=np.float32)


def _palette_index(pixels: np.ndarray) -> np.ndarray:
    """(h, w) int64: the row of `COLOURS` of each lit pixel, whatever its brightness; -1 for other colours."""
    largest = pixels.max(axis=2)
    colours = pixels / np.maximum(largest, 1)[..., None]
    distances = np.abs(colours[:, :, None] - COLOURS / 255).max(axis=3)  # (h, w, 18)
    fits = (largest > LIT) & (distances.min(axis=2) < PURE)
    return np.where(fits, distances.argmin(axis=2), -1)


def _joints(pixels: np.ndarray, index: np.ndarray) -> list[np.ndarray]:
    """For each joint the centres (n, 2) x, y of its discs."""
    bright = pixels.max(axis=2) > BRIGHT
    centres = []
    for joint in range(len(COLOURS)):
        found = cv2.connectedComponentsWithStats(((index == joint) & bright).astype(np.uint8))
        sizes = found[2][1:, cv2.CC_STAT_AREA]
        centres.append(found[3][1:][sizes * 4 >= sizes.max(initial=0)])  # not the crumbs
    return centres


def _joined_limbs(pixels: np.ndarray) -> int:
    """How many limbs have their colour half-way between their joints, of joints that are seen once."""
    index = np.pad(_palette_index(pixels), 1, constant_values=-1)
    joints = _joints(pixels, index[1:-1, 1:-1])
    joined = 0
    for limb, (start, end) in enumerate(LIMBS):
        if len(joints[start]) == len(joints[end]) == 1:
            x, y = np.rint((joints[start][0] + joints[end][0]) / 2).astype(int)
            joined += limb in index[y : y + 3, x : x + 3]
    return joined


def _several_people(pixels: np.ndarray) -> bool:
    """Whether half of the joints, and at least three, are there more than once."""
    counts = np.array([len(centres) for centres in _joints(pixels, _palette_index(pixels))])
    return bool((counts > 1).sum() >= max(3, (counts > 0).sum() / 2))
