"""Pictures to write, and writing them in parallel."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from pose2id.errors import UserError
from pose2id.files import replacing
from pose2id.pictures.label_maps import write_label_map
from pose2id.processes.workers import worker_pool

from ...partial import cut
from ..occluders import KINDS
from ..world import View, World

# Numbers that keep apart what one world holds for each purpose: identities of the three parts never meet.
TRAIN_PIDS, TEST_PIDS, DISTRACTORS = 0, 100_000, 200_000
PARTS = 4  # a stream of random numbers; those of `world.py` are 0 to 3


@dataclass(frozen=True)
class Job:
    """One picture to write."""

    path: Path
    view: View
    shift: tuple[float, float] = (0.0, 0.0)  # a bad detection: the picture moved by this part of its size
    part: str = ""  # which part of the picture is left, one of `NFC.datasets.partial.SHARES`
    mask: Path | None = None  # the file of its label map, if that is wanted

    def moved(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns that a picture of that size is moved by."""
        return int(self.shift[0] * height), int(self.shift[1] * width)

    def rng(self, seed: int) -> np.random.Generator:
        """What decides which part is left."""
        return np.random.default_rng([seed, PARTS, self.view.pid, self.view.camid, self.view.index])

    @property
    def has_mask(self) -> bool:
        """Whether no label map is lacking."""
        return self.mask is None or self.mask.is_file()


def write_jobs(seed: int, jobs: list[Job], workers: int | None = None) -> None:
    """Render and write all pictures and label maps that are not there, in parallel."""
    jobs = [job for job in jobs if not (job.path.is_file() and job.has_mask)]
    chunks = [jobs[start : start + 100] for start in range(0, len(jobs), 100)]
    with worker_pool(workers) as pool, tqdm(total=len(jobs), unit="image") as progress:
        for count in pool.map(partial(_write, seed), chunks):
            progress.update(count)


def _write(world_seed: int, jobs: list[Job]) -> int:
    world = World(world_seed)
    for job in jobs:
        shot = world.shoot(job.view)
        if not job.path.is_file():
            _write_picture(job.path, _framed(shot.picture, job, world_seed))
        if job.mask and not job.has_mask:
            write_label_map(job.mask, _framed(shot.parsing, job, world_seed))
    return len(jobs)


def _framed(pixels: np.ndarray, job: Job, seed: int) -> np.ndarray:
    """What the box of a job leaves of a picture (H, W, 3), or of its label map (H, W)."""
    if any(job.shift):
        pixels = np.roll(pixels, job.moved(*pixels.shape[:2]), (0, 1))
    if job.part:
        pixels = cut(pixels, job.part, job.rng(seed))
    return pixels


def _write_picture(path: Path, picture: np.ndarray) -> None:
    parameters = [cv2.IMWRITE_JPEG_QUALITY, 95] if path.suffix == ".jpg" else []
    with replacing(path) as partial:
        if not cv2.imwrite(str(partial), picture[..., ::-1], parameters):
            raise UserError(f"cannot write {path}: is the disk full or the folder read-only?")


def chance_occluder(rng: np.random.Generator, share: float) -> str:
    """An occluder's kind in `share` of the cases, else none."""
    return KINDS[int(rng.integers(len(KINDS)))] if rng.random() < share else ""
