"""Occluded-REID, P-DukeMTMC-reID and P-ETHZ: occluded against whole pictures."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..world import View
from .job import TEST_PIDS, TRAIN_PIDS, Job, chance_occluder

FOLDERS = {"occluded_body_images": 1.0, "whole_body_images": 0.0}  # share of occluded pictures
CAMERAS = 8


def occluded_reid(root: Path, seed: int, train_pids: int, test_pids: int, shots: int = 5) -> Iterator[Job]:
    """Occluded-REID: `{occluded,whole}_body_images/<pid>/*.tif`, `shots` in each; no training split."""
    rng = np.random.default_rng([seed, 3])
    for pid in range(1, test_pids + 1):
        yield from _person(root, TEST_PIDS + pid, f"{pid:03d}", shots, ".tif", rng)


def p_dukemtmc(root: Path, seed: int, train_pids: int, test_pids: int, shots: int = 4) -> Iterator[Job]:
    """P-DukeMTMC-reID: `{train,test}/{occluded,whole}_body_images/<pid>/*.jpg`, `shots` in each."""
    rng = np.random.default_rng([seed, 7])
    for split, count, offset in (("train", train_pids, TRAIN_PIDS), ("test", test_pids, TEST_PIDS)):
        for folder in FOLDERS:
            (root / split / folder).mkdir(parents=True, exist_ok=True)
        for number in range(1, count + 1):
            pid = 2 * number - (split == "test")
            yield from _person(root / split, offset + number, f"{pid:04d}", shots, ".jpg", rng)


def p_ethz(root: Path, seed: int, train_pids: int, test_pids: int, shots: int = 4) -> Iterator[Job]:
    """P-ETHZ: `{occluded,whole}_body_images/<pid>/*.png`, `shots` in each; the reader draws who is for training."""
    rng = np.random.default_rng([seed, 8])
    for pid in range(1, train_pids + test_pids + 1):
        yield from _person(root, TEST_PIDS + pid, f"{pid:03d}", shots, ".png", rng)


def _person(parent: Path, person: int, label: str, shots: int, suffix: str, rng: np.random.Generator) -> Iterator[Job]:
    for index in range(shots):
        for folder, share in FOLDERS.items():
            camid = int(rng.integers(CAMERAS))
            view = View(person, camid, index + (100 if share else 0), occluder=chance_occluder(rng, share))
            yield Job(parent / folder / label / f"{label}_{index + 1:02d}{suffix}", view)
