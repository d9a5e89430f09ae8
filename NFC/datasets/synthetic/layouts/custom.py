"""A data set of one's own, as folders and as a table."""

from collections.abc import Iterator
from pathlib import Path

from pose2id.files import write_text

from ..world import View
from .job import TEST_PIDS, TRAIN_PIDS, Job

CAMERAS = ("door", "hall")


def custom(root: Path, seed: int, train_pids: int, test_pids: int, shots: int = 2) -> Iterator[Job]:
    """`{train,query,gallery}/<name>/*.png`, and `dataset.csv`, which also names the cameras.

    Everybody is seen `shots` times by two cameras; a test person's first picture by each is a query.
    """
    lines = ["path,pid,camid,split"]
    for split, count, offset in (("train", train_pids, TRAIN_PIDS), ("test", test_pids, TEST_PIDS)):
        for number in range(count):
            pid = f"{split}-{number}"
            for camid, camera in enumerate(CAMERAS):
                for index in range(shots):
                    part = split if split == "train" else "gallery" if index else "query"
                    name = f"{part}/{pid}/{camera}{index}.png"
                    lines.append(f"{name},{pid},{camera},{part}")
                    yield Job(root / name, View(offset + number, camid, index))
    write_text(root / "dataset.csv", "".join(f"{line}\n" for line in lines))
