"""Folders of pictures: writing small ones, and looking at what a job made of them."""

from pathlib import Path

import numpy as np
from PIL import Image

from pose2id.pictures import read_picture


def write_nested(root: Path, folders: dict[str, list[str]]) -> None:
    """The same picture of noise everywhere, losslessly where the format allows."""
    picture = Image.fromarray(np.random.default_rng(1).integers(0, 256, (128, 64, 3), dtype=np.uint8))
    for folder, names in folders.items():
        for name in names:
            (root / folder / name).parent.mkdir(parents=True, exist_ok=True)
            picture.save(root / folder / name)


def read_all(folder: Path) -> dict[str, np.ndarray]:
    """Every picture below a folder, by its path in it."""
    pictures = [path for path in folder.rglob("*.*") if path.suffix != ".json"]
    return {path.relative_to(folder).as_posix(): np.asarray(read_picture(path), int) for path in pictures}


def assert_same_pictures(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> None:
    """Up to the rounding of another batch size (JPEG may make more of it)."""
    assert first.keys() == second.keys()
    for name, picture in first.items():
        assert np.abs(picture - second[name]).max() <= (1 if name.endswith(".png") else 8), name


class Written:
    """Which pictures in the pose folders of `out` were written since the last look."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.before = self._times()

    def look(self) -> set[str]:
        times, before = self._times(), self.before
        self.before = times
        return {name for name, time in times.items() if before.get(name) != time}

    def _times(self) -> dict[str, int]:
        found = self.out.glob("pose*/*")
        return {path.relative_to(self.out).as_posix(): path.stat().st_mtime_ns for path in found}
