"""Soft label maps: a parser's score of every class at every place, in `.npy` files."""

from pathlib import Path

import cv2
import numpy as np

from pose2id.errors import UserError, printable
from pose2id.reading.numpy_files import read_npy

SUFFIX = ".npy"


def likeliest(file: Path, classes: int, size: tuple[int, int]) -> np.ndarray:
    """(H, W) uint8 of `size`: the class of the highest score at each pixel, resized bilinearly before that is asked.

    The file holds (classes, h, w), or (h, w, classes) as SCHP's `--logits` writes; probabilities or logits, of any type
    of numbers. `UserError` naming a file that holds something else, or a number that is not finite.
    """
    scores = read_npy(file, "soft label map")
    where = f"soft label map {printable(file)}"
    if scores.ndim != 3 or classes not in (scores.shape[0], scores.shape[2]) or 0 in scores.shape:
        raise UserError(
            f"{where} has shape {scores.shape}, not ({classes}, h, w) or (h, w, {classes}): say whose classes they are "
            "with parsing_classes"
        )
    if scores.dtype.kind not in "fiu":
        raise UserError(f"{where} holds {scores.dtype}, no scores: write it again")
    if scores.shape[0] == classes:
        scores = np.moveaxis(scores, 0, 2)
    scores = scores.astype(np.float32)
    if not np.isfinite(scores).all():
        raise UserError(f"{where} holds numbers that are not finite: write it again")
    resized = cv2.resize(np.ascontiguousarray(scores), size[::-1], interpolation=cv2.INTER_LINEAR)
    return resized.reshape(*size, classes).argmax(2).astype(np.uint8)
