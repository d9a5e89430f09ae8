"""Write the synthetic world to disk in the layouts of real data sets.

Folder and file names follow the originals, so that the readers of the real data sets read these too.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from ...errors import UserError
from .occluders import KINDS
from .world import View, World

# Numbers that keep apart what one world holds for each purpose: identities of the three parts never meet.
TEST_PIDS, DISTRACTORS = 100_000, 200_000
SYSU_INFRARED = (3, 6)
OCCLUDED_PER_PERSON = 5


@dataclass(frozen=True)
class Job:
    """One picture to write."""

    path: Path
    view: View
    shift: tuple[float, float] = (0.0, 0.0)  # a bad detection: the picture moved by this part of its size


def _write(world_seed: int, jobs: list[Job]) -> int:
    world = World(world_seed)
    for job in jobs:
        picture = world.shoot(job.view).picture
        if any(job.shift):
            rows, columns = (int(part * size) for part, size in zip(job.shift, picture.shape[:2], strict=True))
            picture = np.roll(picture, (rows, columns), (0, 1))
        job.path.parent.mkdir(parents=True, exist_ok=True)
        parameters = [cv2.IMWRITE_JPEG_QUALITY, 95] if job.path.suffix == ".jpg" else []
        if not cv2.imwrite(str(job.path), picture[..., ::-1], parameters):
            raise UserError(f"cannot write {job.path}: is the disk full or the folder read-only?")
    return len(jobs)


def write_jobs(seed: int, jobs: list[Job], workers: int | None = None) -> None:
    """Render and write all pictures, in parallel."""
    chunks = [jobs[start : start + 100] for start in range(0, len(jobs), 100)]
    with ProcessPoolExecutor(workers) as pool, tqdm(total=len(jobs), unit="image") as progress:
        for count in pool.map(partial(_write, seed), chunks):
            progress.update(count)


def _chance(rng: np.random.Generator, share: float) -> str:
    """An occluder's kind in `share` of the cases, else none."""
    return KINDS[int(rng.integers(len(KINDS)))] if rng.random() < share else ""


def market1501(
    root: Path, seed: int, train_pids: int, test_pids: int, cameras: int = 6, shots: int = 3, distractors: float = 0.1
) -> Iterator[Job]:
    """Market-1501: `bounding_box_train`, `query`, `bounding_box_test`.

    Every person is seen by three or four of the cameras, `shots` times by each; one more picture for each
    camera of a test person is a query. `distractors`, and half as many junk boxes (pid -1), are shares of the gallery.
    """
    rng = np.random.default_rng([seed, 1])
    frame, gallery = 0, 0

    def job(split: str, label: int, view: View, shift=(0.0, 0.0)) -> Job:
        nonlocal frame
        frame += 25
        pid = "-1" if label < 0 else f"{label:04d}"
        sequence, box = 1 + frame // 50_000, 1 + view.index % 3
        return Job(root / split / f"{pid}_c{view.camid + 1}s{sequence}_{frame:06d}_{box:02d}.jpg", view, shift)

    for split, count, offset in (("bounding_box_train", train_pids, 0), ("bounding_box_test", test_pids, TEST_PIDS)):
        for number in range(count):
            label = 2 * number + (2 if offset == 0 else 1)
            for camid in sorted(rng.choice(cameras, size=min(cameras, int(rng.integers(3, 5))), replace=False)):
                views = [
                    View(offset + number, int(camid), index, occluder=_chance(rng, 0.08)) for index in range(shots + 1)
                ]
                gallery += shots if offset else 0
                yield from (job(split, label, view) for view in views[:shots])
                if offset:
                    yield job("query", label, views[shots])
    for number in range(round(gallery * distractors)):
        yield job("bounding_box_test", 0, View(DISTRACTORS + number, int(rng.integers(cameras)), 0))
    for number in range(round(gallery * distractors / 2)):
        view = View(TEST_PIDS + int(rng.integers(max(1, test_pids))), int(rng.integers(cameras)), 1000 + number)
        yield job("bounding_box_test", -1, view, (rng.uniform(0.3, 0.6), rng.uniform(-0.5, 0.5)))


def sysu_mm01(root: Path, seed: int, train_pids: int, test_pids: int, shots: int = 4) -> Iterator[Job]:
    """SYSU-MM01: `cam1..cam6/<pid>/0001.jpg` and `exp/{train,val,test}_id.txt`; cameras 3 and 6 are infrared.

    Cameras 1 to 3 are indoors (2 and 3 the same place) and see half of the people; 4 to 6 see everybody.
    """
    total = train_pids + test_pids
    for pid in range(1, total + 1):
        cameras = range(1, 7) if pid % 2 else (4, 5, 6)
        for camera in cameras:
            place = 2 if camera == 3 else camera
            for index in range(shots):
                view = View(TEST_PIDS + pid, place, index + 10 * camera, camera in SYSU_INFRARED)
                yield Job(root / f"cam{camera}" / f"{pid:04d}" / f"{index + 1:04d}.jpg", view)
    pids = [str(pid) for pid in range(1, total + 1)]
    validation = min(train_pids, max(1, train_pids // 4))
    splits = {"train_id": pids[: train_pids - validation], "val_id": pids[train_pids - validation : train_pids]}
    (root / "exp").mkdir(parents=True, exist_ok=True)
    for name, members in (splits | {"test_id": pids[train_pids:]}).items():
        (root / "exp" / f"{name}.txt").write_text(",".join(members) + "\n")


def occluded_reid(root: Path, seed: int, train_pids: int, test_pids: int) -> Iterator[Job]:
    """Occluded-REID: five pictures in each of `{occluded,whole}_body_images/<pid>/*.tif`; no train split."""
    rng = np.random.default_rng([seed, 3])
    for pid in range(1, test_pids + 1):
        for index in range(OCCLUDED_PER_PERSON):
            for folder, share in (("occluded_body_images", 1.0), ("whole_body_images", 0.0)):
                camid = int(rng.integers(8))
                view = View(TEST_PIDS + pid, camid, index + (100 if share else 0), occluder=_chance(rng, share))
                yield Job(root / folder / f"{pid:03d}" / f"{pid:03d}_{index + 1:02d}.tif", view)


LAYOUTS: dict[str, Callable[..., Iterator[Job]]] = {
    "market1501": market1501,
    "sysu_mm01": sysu_mm01,
    "occluded_reid": occluded_reid,
}


def write_layout(
    name: str, root: Path, seed: int, train_pids: int, test_pids: int, workers: int | None = None, **options
) -> int:
    """Write a data set in the layout `name` into `root`; returns the number of pictures.

    Raises `UserError` for an unknown layout or counts that make no data set.
    """
    if name not in LAYOUTS:
        raise UserError(f"unknown layout '{name}'; choose one of: {', '.join(LAYOUTS)}")
    if train_pids < 0 or test_pids < 1:
        raise UserError(
            f"{train_pids} training and {test_pids} test people make no data set: ask for at least 1 test pid"
        )
    if root.is_dir() and any(root.iterdir()):
        raise UserError(f"folder {root} is not empty; name another, or empty it")
    root.mkdir(parents=True, exist_ok=True)
    jobs = list(LAYOUTS[name](root, seed, train_pids, test_pids, **options))
    write_jobs(seed, jobs, workers)
    return len(jobs)
