"""Write the synthetic world to disk in the layouts of real data sets.

Folder and file names follow the originals, so that the readers of the real data sets read these too.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from pose2id.errors import UserError
from pose2id.files import remove_leftovers
from pose2id.processes.claims import claim
from pose2id.processes.locks import locked

from .cuhk03 import cuhk03
from .custom import custom
from .job import Job, write_jobs
from .keypoints import KEYPOINTS, write_keypoints
from .market_like import dukemtmc, market1501, occluded_duke
from .msmt17 import msmt17, msmt17_v2
from .occluded_whole import occluded_reid, p_dukemtmc, p_ethz
from .partial_whole import partial_ilids, partial_reid
from .regdb import regdb
from .sysu_mm01 import sysu_mm01
from .viper import viper

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
    "p_ethz": p_ethz,
    "partial_reid": partial_reid,
    "partial_ilids": partial_ilids,
    "cuhk03": cuhk03,
    "viper": viper,
    "custom": custom,
}
MASKS = "masks"  # folder of label maps in that of the data set
SETTINGS_FILE = ".synthetic.json"  # in the data set's folder: what it is made with


def write_layout(
    name: str,
    root: Path,
    seed: int,
    train_pids: int,
    test_pids: int,
    workers: int | None = None,
    masks: bool = False,
    keypoints: bool = False,
    **options,
) -> int:
    """Write a data set in the layout `name` into `root`; returns the number of pictures.

    `options` are those of the layout; all have `shots`, the pictures of a person by one camera. What a killed run has
    left out is added, and whole pictures are kept. masks: also write the body parts of every picture,
    `masks/<its path without suffix>.png`; keypoints: also its points, in `keypoints.jsonl`. A data set that lacks them
    gains them.
    Raises `UserError` for an unknown layout, counts that make no data set, and a folder that holds something else.
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
        settings = {"layout": name, "seed": seed, "train_pids": train_pids, "test_pids": test_pids, **options}
        claim(root, SETTINGS_FILE, settings)
        remove_leftovers(root)
        jobs = list(LAYOUTS[name](root, seed, train_pids, test_pids, **options))
        if masks:
            jobs = [replace(job, mask=mask_path(job.path, root)) for job in jobs]
        write_jobs(seed, jobs, workers)
        if keypoints and not (root / KEYPOINTS).is_file():
            write_keypoints(root, seed, jobs)
    return len(jobs)


def mask_path(picture: Path, root: Path) -> Path:
    """The file of the label map of a picture of the data set in `root`."""
    return root / MASKS / picture.relative_to(root).with_suffix(".png")


__all__ = ["KEYPOINTS", "LAYOUTS", "MASKS", "write_layout"]
