"""Write the synthetic world to disk in the layouts of real data sets.

Folder and file names follow the originals, so that the readers of the real data sets read these too.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

from pose2id.errors import UserError
from pose2id.locks import LOCK_FILE, locked

from .custom import custom
from .job import Job, write_jobs
from .market_like import dukemtmc, market1501, occluded_duke
from .msmt17 import msmt17, msmt17_v2
from .occluded_whole import occluded_reid, p_dukemtmc
from .regdb import regdb
from .sysu_mm01 import sysu_mm01

# (root, seed, train_pids, test_pids, **options) -> pictures to write; lists and empty folders are written on the way.
LAYOUTS: dict[str, Callable[..., Iterator[Job]]] = {
    "market1501": market1501,
    "dukemtmc": dukemtmc,
    "occluded_duke": occluded_duke,
    "msmt17": msmt17,
    "msmt17_v2": msmt17_v2,
    "sysu_mm01": sysu_mm01,
    "regdb": regdb,
    "occluded_reid": occluded_reid,
    "p_dukemtmc": p_dukemtmc,
    "custom": custom,
}


def write_layout(
    name: str, root: Path, seed: int, train_pids: int, test_pids: int, workers: int | None = None, **options
) -> int:
    """Write a data set in the layout `name` into `root`; returns the number of pictures.

    `options` are those of the layout; all have `shots`, the pictures of a person by one camera.
    Raises `UserError` for an unknown layout or counts that make no data set.
    """
    if name not in LAYOUTS:
        raise UserError(f"unknown layout '{name}'; choose one of: {', '.join(LAYOUTS)}")
    if train_pids < 0 or test_pids < 1:
        raise UserError(
            f"{train_pids} training and {test_pids} test people make no data set: ask for at least 1 test pid"
        )
    if options.get("shots", 1) < 1:
        raise UserError(f"{options['shots']} shots make no data set: ask for at least 1")
    with locked(root):
        if any(path.name != LOCK_FILE for path in root.iterdir()):
            raise UserError(f"folder {root} is not empty; name another, or empty it")
        jobs = list(LAYOUTS[name](root, seed, train_pids, test_pids, **options))
        write_jobs(seed, jobs, workers)
    return len(jobs)


__all__ = ["LAYOUTS", "write_layout"]
