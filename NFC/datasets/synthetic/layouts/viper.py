"""VIPeR: two cameras, a picture of everybody by each."""

from collections.abc import Iterator
from pathlib import Path

from ..world import View
from .job import TEST_PIDS, Job


def viper(root: Path, seed: int, train_pids: int, test_pids: int, shots: int = 1) -> Iterator[Job]:
    """`cam_a/000_45.bmp` and `cam_b/000_45.bmp`; the reader draws who is for training."""
    for pid in range(train_pids + test_pids):
        for camid, camera in enumerate(("cam_a", "cam_b")):
            for index in range(shots):
                yield Job(root / camera / f"{pid:03d}_{45 * (index + 1)}.bmp", View(TEST_PIDS + pid, camid, index))
