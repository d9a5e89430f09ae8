"""SYSU-MM01: six cameras, two of them infrared, and the lists of the protocol."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy.io import savemat

from pose2id.files import write_text

from ..world import View
from .job import TEST_PIDS, Job

CAMERAS = (1, 2, 3, 4, 5, 6)
INFRARED = (3, 6)
TRIALS = 10


def sysu_mm01(root: Path, seed: int, train_pids: int, test_pids: int, shots: int = 4) -> Iterator[Job]:
    """`cam1..cam6/<pid>/0001.jpg`, `exp/{train,val,test}_id.txt` and `exp/rand_perm_cam.mat`.

    Cameras 1 and 2 see half of the people, camera 3, at the place of camera 2, and camera 4 three quarters, 5 and 6
    everybody: some indoor queries find nobody. Every second pair of person and camera has a picture more than `shots`.
    """
    total = train_pids + test_pids
    counts = {(camera, pid): shots + (pid + camera) % 2 for pid in range(1, total + 1) for camera in _cameras_of(pid)}
    _write_lists(root / "exp", train_pids, total)
    _write_permutations(root / "exp", seed, total, counts)
    for camera in CAMERAS:
        (root / f"cam{camera}").mkdir(exist_ok=True)
    for (camera, pid), count in counts.items():
        place = 2 if camera == 3 else camera
        for index in range(count):
            view = View(TEST_PIDS + pid, place, index + 10 * camera, camera in INFRARED)
            yield Job(root / f"cam{camera}" / f"{pid:04d}" / f"{index + 1:04d}.jpg", view)


def _cameras_of(pid: int) -> tuple[int, ...]:
    return CAMERAS if pid % 2 else (3, 4, 5, 6) if pid % 4 else (5, 6)


def _write_lists(folder: Path, train_pids: int, total: int) -> None:
    pids = [str(pid) for pid in range(1, total + 1)]
    validation = min(train_pids, max(1, train_pids // 4))
    first, last = train_pids - validation, train_pids
    folder.mkdir(parents=True, exist_ok=True)
    for name, members in {"train_id": pids[:first], "val_id": pids[first:last], "test_id": pids[last:]}.items():
        write_text(folder / f"{name}.txt", ",".join(members) + "\n")


def _write_permutations(folder: Path, seed: int, total: int, counts: dict[tuple[int, int], int]) -> None:
    """The cell {camera}{pid} holds ten orders of that person's pictures by that camera, counted from 1."""
    rng = np.random.default_rng([seed, 5])
    cameras = np.empty((len(CAMERAS), 1), object)
    for camera in CAMERAS:
        cells = np.empty((total, 1), object)
        for pid in range(1, total + 1):
            count = counts.get((camera, pid), 0)
            cells[pid - 1, 0] = np.array([rng.permutation(count) + 1 for _ in range(TRIALS)], np.float64)
        cameras[camera - 1, 0] = cells
    savemat(folder / "rand_perm_cam.mat", {"rand_perm_cam": cameras})
