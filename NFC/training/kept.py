"""Arrays made of pictures, kept on disk: made once, and found again as long as what they were made of is the same."""

import hashlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from tqdm import tqdm

from pose2id.files import create_array, remove_leftovers, replacing
from pose2id.processes.locks import locked
from pose2id.reading.numpy_files import fits_npy, map_npy

DECODERS = 4  # threads

Item = TypeVar("Item")


@dataclass(frozen=True)
class Kept:
    """A folder of arrays *.npy, and how the pictures are resized that they are made of."""

    folder: Path
    size: tuple[int, int]  # height, width
    made: str  # whatever else decides what a picture becomes

    def __call__(
        self,
        source: bytes,
        items: Sequence[Item],
        read: Callable[[Item], np.ndarray],
        channels: tuple[int, ...] = (),
        name: str = "pictures",
    ) -> np.ndarray:
        """What `read` makes of the items, (N, height, width, *channels) uint8, mapped from a file of the folder.

        The file, which is made when it is not there, is named after `name`, their `source` and how they are resized.
        """
        digest = hashlib.sha256(f"{self.size} {self.made}".encode() + source)
        file = self.folder / f"{name}-{digest.hexdigest()[:16]}.npy"
        shape = len(items), *self.size, *channels
        with locked(self.folder, wait=True, here=not fits_npy(file, shape, np.uint8)):
            if not fits_npy(file, shape, np.uint8):
                remove_leftovers(self.folder)
                with replacing(file) as partial_file, ThreadPoolExecutor(DECODERS) as pool:
                    array = create_array(partial_file, np.uint8, shape)
                    made = tqdm(pool.map(read, items), total=len(items), desc=name, unit="picture")
                    for row, values in enumerate(made):
                        array[row] = values
                    array.flush()
        return map_npy(file)


def in_threads(read: Callable[[Item], np.ndarray], items: Sequence[Item], name: str) -> np.ndarray:
    """What `read` makes of the items, stacked in memory."""
    with ThreadPoolExecutor(DECODERS) as pool:
        return np.stack(list(tqdm(pool.map(read, items), total=len(items), desc=name, unit="picture")))


def state_of(path: Path) -> bytes:
    """What a file's place, size and time say of its content."""
    state = path.stat()
    return os.fsencode(f"{path.resolve()}\0{state.st_size}\0{state.st_mtime_ns}\0")
