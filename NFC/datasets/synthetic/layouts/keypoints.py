"""The true keypoints of the pictures of a data set, in a file as `pose2id poses prepare` writes it."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pose2id.files import write_text

from ...partial import kept_rows
from ..world import HEIGHT, WIDTH, World
from .job import Job

KEYPOINTS = "keypoints.jsonl"  # in the data set's folder


def write_keypoints(root: Path, seed: int, jobs: Sequence[Job]) -> None:
    """`keypoints.jsonl`, a line {"path", "keypoints"} for each picture, 18 points of x, y and 1, or 0 0 0 if unseen."""
    world = World(seed)
    lines = [
        json.dumps({"path": job.path.relative_to(root).as_posix(), "keypoints": _points(world, job).round(2).tolist()})
        for job in jobs
    ]
    write_text(root / KEYPOINTS, "".join(f"{line}\n" for line in lines))


def _points(world: World, job: Job) -> np.ndarray:
    """(18, 3) float64 in the pixels of the file of a job; what lies outside of it is not seen."""
    points, height = world.keypoints(job.view).astype(np.float64), HEIGHT
    rows, columns = job.moved(HEIGHT, WIDTH)
    points[:, :2] = (points[:, :2] + (columns, rows)) % (WIDTH, HEIGHT)
    if job.part:
        first, stop = kept_rows(HEIGHT, job.part, job.rng(world.seed))
        points[:, 1] -= first
        height = stop - first
    inside = (points[:, :2] >= 0).all(1) & (points[:, 0] < WIDTH) & (points[:, 1] < height)
    return points * (inside & (points[:, 2] > 0))[:, None]
