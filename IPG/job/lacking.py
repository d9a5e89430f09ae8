"""Which pictures of a job are not on disk yet, in chunks to draw together."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from pose2id.devices import usable_cores
from pose2id.errors import UserError
from pose2id.pictures import modified, read_picture

from .tasks import Pose, Task


class Chunk(NamedTuple):
    """References, and the indices of the poses that all of them lack."""

    tasks: list[Task]
    missing: tuple[int, ...]

    @property
    def pictures(self) -> int:
        return len(self.tasks) * len(self.missing)


def unfinished_chunks(tasks: Sequence[Task], poses: Sequence[Pose], batch_size: int) -> Iterator[Chunk]:
    """Unfinished tasks, in order, with the indices of the poses they lack; about `batch_size` pictures a chunk."""
    with ThreadPoolExecutor(usable_cores()) as threads:
        states = list(zip(tasks, threads.map(lambda task: _missing(task, poses), tasks), strict=True))
    unfinished = [(task, missing) for task, missing in states if missing or not _has_canvas(task)]
    for missing, group in groupby(unfinished, key=lambda state: state[1]):
        members = [task for task, _ in group]
        together = max(1, batch_size // max(1, len(missing)))
        for start in range(0, len(members), together):
            yield Chunk(members[start : start + together], missing)


def _missing(task: Task, poses: Sequence[Pose]) -> tuple[int, ...]:
    pairs = zip(task.pictures, poses, strict=True)
    return tuple(i for i, (out, pose) in enumerate(pairs) if not _is_fresh(out, *task.references, pose.path))


def _has_canvas(task: Task) -> bool:
    return task.canvas is None or _is_fresh(task.canvas, *task.pictures)


def _is_fresh(path: Path, *sources: Path) -> bool:
    """Whether a picture is whole on disk and no older than what it was made from."""
    if not path.is_file():
        return False
    try:
        if modified(path) < max(map(modified, sources)):
            return False
        read_picture(path)
    except UserError:
        return False
    return True
