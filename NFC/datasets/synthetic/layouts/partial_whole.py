"""Partial-REID and Partial-iLIDS: parts of pictures, as high as they are, against whole ones."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..occluders import KINDS
from ..world import View
from .job import TEST_PIDS, Job

CAMERAS = 8


def partial_reid(root: Path, seed: int, train_pids: int, test_pids: int, shots: int = 5) -> Iterator[Job]:
    """Partial-REID: `{partial,occluded,whole}_body_images/001_001.jpg`, `shots` in each; no training split.

    Number 1 of a person's partial pictures is part of what number 1 of the occluded ones hides something of.
    """
    rng = np.random.default_rng([seed, 9])
    for pid in range(1, test_pids + 1):
        for index in range(shots):
            name = f"{pid:03d}_{index + 1:03d}.jpg"
            camid, other = (int(number) for number in rng.integers(CAMERAS, size=2))
            occluder = KINDS[int(rng.integers(len(KINDS)))]
            yield Job(root / "partial_body_images" / name, View(TEST_PIDS + pid, camid, index + 100), part="band")
            yield Job(root / "occluded_body_images" / name, View(TEST_PIDS + pid, camid, index + 100, False, occluder))
            yield Job(root / "whole_body_images" / name, View(TEST_PIDS + pid, other, index))


def partial_ilids(root: Path, seed: int, train_pids: int, test_pids: int, shots: int = 1) -> Iterator[Job]:
    """Partial-iLIDS: `{partial,whole}_body_images/001.jpg`, one picture in each (several: `001_01.jpg`)."""
    rng = np.random.default_rng([seed, 10])
    for pid in range(1, test_pids + 1):
        for index in range(shots):
            name = f"{pid:03d}.jpg" if shots == 1 else f"{pid:03d}_{index + 1:02d}.jpg"
            camid, other = (int(number) for number in rng.integers(CAMERAS, size=2))
            yield Job(root / "partial_body_images" / name, View(TEST_PIDS + pid, camid, index + 100), part="upper")
            yield Job(root / "whole_body_images" / name, View(TEST_PIDS + pid, other, index))
