"""How well a parser does on synthetic people, whose body parts are known at every pixel."""

from collections.abc import Iterator

import numpy as np
from PIL import Image

from ..datasets.synthetic import View, World
from ..datasets.synthetic.occluders import KINDS
from .network import CLASSES, Parser

CAMERAS = 20
BATCH = 50


def quality_on_world(parser: Parser, seed: int, people: int) -> dict[str, dict[str, float]]:
    """One picture each of `people` of world `seed`, taken in visible light, in infrared, and partly hidden.

    Returns for "visible", "infrared", "occluded" and "all" what `overlaps` makes of all their pixels.
    """
    world = World(seed)
    counts = {kind: sum(confusions(parser, world, kind, people)) for kind in ("visible", "infrared", "occluded")}
    return {kind: overlaps(matrix) for kind, matrix in {**counts, "all": sum(counts.values())}.items()}


def confusions(parser: Parser, world: World, kind: str, people: int) -> Iterator[np.ndarray]:
    """(C, C) int64 for each batch: how many pixels of class i the parser says are of class j."""
    for first in range(0, people, BATCH):
        views = [
            View(pid, pid % CAMERAS, 0, kind == "infrared", KINDS[pid % len(KINDS)] if kind == "occluded" else "")
            for pid in range(first, min(first + BATCH, people))
        ]
        shots = [world.shoot(view) for view in views]
        found = np.stack(parser([Image.fromarray(shot.picture) for shot in shots]))
        wanted = np.stack([shot.parsing for shot in shots])
        pairs = wanted.astype(np.int64) * len(CLASSES) + found
        yield np.bincount(pairs.ravel(), minlength=len(CLASSES) ** 2).reshape(len(CLASSES), -1)


def overlaps(matrix: np.ndarray) -> dict[str, float]:
    """Intersection over union from a confusion matrix (C, C): "mean" over the parts there are, "foreground", each part.

    A part that is neither there nor found is NaN, and does not count.
    """
    both = np.diag(matrix)
    union = matrix.sum(0) + matrix.sum(1) - both
    parts = np.where(union[1:] > 0, both[1:] / np.maximum(union[1:], 1), np.nan)
    people = matrix[1:, 1:].sum() / max(1, matrix.sum() - matrix[0, 0])
    named = dict(zip(CLASSES[1:], parts.tolist(), strict=True))
    return {"mean": float(np.nanmean(parts)), "foreground": float(people), **named}
