"""RegDB: visible and thermal pictures, and ten trials in lists."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pose2id.files import write_text

from ..world import View
from .job import TEST_PIDS, Job

TRIALS = 10
MODALITIES = ("Visible", "Thermal")


def regdb(root: Path, seed: int, train_pids: int, test_pids: int, shots: int = 10) -> Iterator[Job]:
    """`{Visible,Thermal}/<pid>/*.bmp`, `shots` in each, and `idx/{train,test}_{visible,thermal}_{1..10}.txt`.

    Each trial parts all people anew; the labels of a list count the people of its trial.
    """
    total = train_pids + test_pids
    pictures: dict[tuple[str, int], list[str]] = {}
    for pid in range(1, total + 1):
        for modality in MODALITIES:
            names = pictures[modality, pid] = []
            for index in range(shots):
                serial = 100 * pid + index
                names.append(f"{modality}/{pid}/male_front_{modality[0].lower()}_{serial:05d}_{pid}.bmp")
                thermal = modality == "Thermal"
                yield Job(root / names[-1], View(TEST_PIDS + pid, 0, index + shots * thermal, infrared=thermal))

    rng = np.random.default_rng([seed, 6])
    (root / "idx").mkdir(exist_ok=True)
    for trial in range(1, TRIALS + 1):
        order = rng.permutation(total) + 1
        for split, people in (("train", order[:train_pids]), ("test", order[train_pids:])):
            for modality in MODALITIES:
                lines = [
                    f"{name} {label}\n" for label, pid in enumerate(sorted(people)) for name in pictures[modality, pid]
                ]
                write_text(root / "idx" / f"{split}_{modality.lower()}_{trial}.txt", "".join(lines))
