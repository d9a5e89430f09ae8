"""MSMT17: numbered folders of people and lists that say which picture is what."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pose2id.files import write_text

from ..world import View
from .job import TEST_PIDS, TRAIN_PIDS, Job, chance_occluder

CAMERAS = 15


def msmt17(root: Path, seed: int, train_pids: int, test_pids: int, shots: int = 3) -> Iterator[Job]:
    """Version 1: folders `train` and `test`."""
    return _msmt17(root, seed, train_pids, test_pids, shots, "train", "test")


def msmt17_v2(root: Path, seed: int, train_pids: int, test_pids: int, shots: int = 3) -> Iterator[Job]:
    """Version 2: folders `mask_train_v2` and `mask_test_v2`."""
    return _msmt17(root, seed, train_pids, test_pids, shots, "mask_train_v2", "mask_test_v2")


def _msmt17(root: Path, seed: int, train_pids: int, test_pids: int, shots: int, train: str, test: str) -> Iterator[Job]:
    """Every person is seen by three cameras, `shots` times by each; pids count from 0 in training and in test.

    The first camera's last picture of a training person is for validation; each camera's last picture of a test
    person is a query.
    """
    rng = np.random.default_rng([seed, 4])
    lists: dict[str, list[str]] = {"train": [], "val": [], "query": [], "gallery": []}
    for folder, count, offset in ((train, train_pids, TRAIN_PIDS), (test, test_pids, TEST_PIDS)):
        (root / folder).mkdir(parents=True, exist_ok=True)
        for pid in range(count):
            serial = 0
            for order, camid in enumerate(sorted(rng.choice(CAMERAS, size=3, replace=False))):
                for index in range(shots):
                    view = View(offset + pid, int(camid), index, occluder=chance_occluder(rng, 0.08))
                    name = f"{pid:04d}/{pid:04d}_{serial:03d}_{camid + 1:02d}_0303morning_{15 * serial:04d}_{index}.jpg"
                    serial += 1
                    last = index == shots - 1
                    if folder == train:
                        lists["val" if last and order == 0 else "train"].append(f"{name} {pid}")
                    else:
                        lists["query" if last else "gallery"].append(f"{name} {pid}")
                    yield Job(root / folder / name, view)
    for name, lines in lists.items():
        write_text(root / f"list_{name}.txt", "".join(f"{line}\n" for line in lines))
