"""Market1501 and those who share its layout: `bounding_box_train`, `query`, `bounding_box_test`."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from ..world import View
from .job import DISTRACTORS, TEST_PIDS, TRAIN_PIDS, Job, chance_occluder

OCCLUDED = 0.08  # share of the pictures with something in front


def market1501(
    root: Path, seed: int, train_pids: int, test_pids: int, cameras: int = 6, shots: int = 3, distractors: float = 0.1
) -> Iterator[Job]:
    """Market1501 with `distractors` (a share of the gallery), and half as many junk boxes (pid -1)."""

    def name(pid: int, view: View, frame: int) -> str:
        label = "-1" if pid < 0 else f"{pid:04d}"
        return f"{label}_c{view.camid + 1}s{1 + frame // 50_000}_{frame:06d}_{1 + view.index % 3:02d}.jpg"

    return _market_like(root, seed, train_pids, test_pids, cameras, shots, distractors, OCCLUDED, name)


def dukemtmc(root: Path, seed: int, train_pids: int, test_pids: int, cameras: int = 8, shots: int = 3) -> Iterator[Job]:
    """DukeMTMC-reID: neither distractors nor junk."""
    return _market_like(root, seed, train_pids, test_pids, cameras, shots, 0.0, OCCLUDED, _duke_name)


def occluded_duke(
    root: Path, seed: int, train_pids: int, test_pids: int, cameras: int = 8, shots: int = 3
) -> Iterator[Job]:
    """Occluded-Duke: DukeMTMC-reID, but something stands in front of everybody in the queries."""
    return _market_like(root, seed, train_pids, test_pids, cameras, shots, 0.0, 1.0, _duke_name)


def _duke_name(pid: int, view: View, frame: int) -> str:
    return f"{pid:04d}_c{view.camid + 1}_f{frame:07d}.jpg"


def _market_like(
    root: Path,
    seed: int,
    train_pids: int,
    test_pids: int,
    cameras: int,
    shots: int,
    distractors: float,
    occluded_queries: float,
    name: Callable[[int, View, int], str],
) -> Iterator[Job]:
    """Every person is seen by three or four of the cameras, `shots` times by each.

    One more picture for each camera of a test person is a query. `name` makes a file name from pid, view and frame.
    """
    rng = np.random.default_rng([seed, 1])
    frame, gallery = 0, 0

    def job(split: str, pid: int, view: View, shift=(0.0, 0.0)) -> Job:
        nonlocal frame
        frame += 25
        return Job(root / split / name(pid, view, frame), view, shift)

    for split in ("bounding_box_train", "query", "bounding_box_test"):
        (root / split).mkdir(parents=True, exist_ok=True)
    for split, count, offset in (
        ("bounding_box_train", train_pids, TRAIN_PIDS),
        ("bounding_box_test", test_pids, TEST_PIDS),
    ):
        test = offset == TEST_PIDS
        shares = [OCCLUDED] * shots + [occluded_queries if test else OCCLUDED]
        for number in range(count):
            pid = 2 * number + (1 if test else 2)
            for camid in sorted(rng.choice(cameras, size=min(cameras, int(rng.integers(3, 5))), replace=False)):
                views = [
                    View(offset + number, int(camid), index, occluder=chance_occluder(rng, share))
                    for index, share in enumerate(shares)
                ]
                yield from (job(split, pid, view) for view in views[:shots])
                if test:
                    gallery += shots
                    yield job("query", pid, views[shots])
    for number in range(round(gallery * distractors)):
        yield job("bounding_box_test", 0, View(DISTRACTORS + number, int(rng.integers(cameras)), 0))
    for number in range(round(gallery * distractors / 2)):
        view = View(TEST_PIDS + int(rng.integers(max(1, test_pids))), int(rng.integers(cameras)), 1000 + number)
        yield job("bounding_box_test", -1, view, (rng.uniform(0.3, 0.6), rng.uniform(-0.5, 0.5)))
