"""`cuhk-03.mat` of the release, a MATLAB 7.3 file, which is HDF5: pictures, and the test sets of the classic protocol.

`detected` and `labeled` are cells of five pairs of cameras; each is a cell of people by pictures, the first half of
them by view 1, empty where a person has fewer. `testsets` is a cell of 20 lists of (pair, person), both from 1.
HDF5 turns all axes around.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from tqdm import tqdm

from pose2id.devices import is_first_process
from pose2id.errors import UserError, printable
from pose2id.files import replacing_in, writing
from pose2id.processes.locks import locked
from pose2id.reading.files import one_line, require_file

if TYPE_CHECKING:
    import h5py

FILE = "cuhk-03.mat"
FORMS = ("detected", "labeled")
PICTURE_NAME = re.compile(r"([1-5])_(\d+)_([12])_\d+\.")  # pair, person, view


def find_in_release(root: Path, name: str) -> Path:
    """The file `name` of the release, which may lie in `cuhk03_release`; need not exist."""
    beside, release = root / name, root / "cuhk03_release" / name
    return release if release.is_file() and not beside.exists() else beside


def find_pictures(root: Path, form: str) -> Path:
    """The folder of the pictures of `form`, which are taken out of the release's file first where it alone is there.

    What a killed run has taken out is kept. The folder need not exist, if there is no such file either.
    `UserError` for a file that cannot be read, and for a folder that cannot be written.
    """
    folder, file = root / f"images_{form}", find_in_release(root, FILE)
    if folder.exists() or not file.exists():
        return folder
    with locked(root, wait=True):
        if not folder.exists():
            partial = folder.with_name(f"{folder.name}.incomplete")
            with writing(partial):
                partial.mkdir(exist_ok=True)
                taken = {path.name for path in partial.iterdir()}
            with _opened(file) as release:
                _take_out(release, form, partial, taken)
            with writing(folder):
                partial.rename(folder)
    return folder


def read_test_sets(file: Path) -> list[list[tuple[int, int]]]:
    """The (pair, person) of each test set. `UserError` for a file that is missing, damaged or another."""
    with _opened(file, "the classic protocol needs it for its test sets") as release:
        sets = [_referred(release, cell) for cell in release["testsets"][()].flat]
    if not all(people.ndim == 2 and people.shape[1] == 2 and len(people) for people in sets):
        raise UserError(f"cuhk03: testsets in {file} are not lists of (pair, person); get the file again")
    return [[(int(pair), int(person)) for pair, person in people] for people in sets]


@contextmanager
def _opened(path: Path, remedy: str = "") -> Iterator["h5py.File"]:
    """The file; whatever cannot be read in it raises `UserError` naming it. remedy: said of one that is not there."""
    require_file(path, "cuhk03: file", remedy)
    try:
        import h5py
    except ImportError as error:
        raise UserError(f"cuhk03: {path} needs h5py, which is not installed: pip install h5py") from error
    try:
        with h5py.File(path, "r") as file:
            yield file
    except UserError:
        raise
    except (OSError, RuntimeError, LookupError, ValueError, TypeError, AttributeError, MemoryError) as error:
        reason = f"it is damaged, or not the {FILE} of the release ({one_line(error)}); get it again"
        raise UserError(f"cannot read cuhk03: file {printable(path)}: {reason}") from error


def _referred(file: "h5py.File", reference: object) -> np.ndarray:
    """What a cell refers to, in MATLAB's order of axes; of size 0 for an empty one, whose shape alone is stored."""
    item = file[reference]
    if "MATLAB_empty" in item.attrs or item.shape is None or (item.shape == (2,) and 0 in item[()]):
        return np.zeros(0)
    return item[()].T


def _take_out(file: "h5py.File", form: str, folder: Path, taken: set[str]) -> None:
    """Write the pictures of `form` but those whose names are `taken` into `folder`, those of a person at once."""
    pairs = [_referred(file, cell) for cell in file[form][()].flat]
    people = [
        (pair, person, cells)
        for pair, cells_of_pair in enumerate(pairs, start=1)
        for person, cells in enumerate(cells_of_pair, start=1)
    ]
    for pair, person, cells in tqdm(people, desc=folder.stem, unit="person", disable=not is_first_process()):
        with replacing_in(folder) as hidden:
            for number, cell in enumerate(cells, start=1):
                view = 1 + (2 * number > len(cells))
                name = f"{pair}_{person:03d}_{view}_{number:02d}.png"
                if name not in taken and (pixels := _referred(file, cell)).size:
                    Image.fromarray(_checked(pixels, name)).save(hidden / name)


def _checked(pixels: np.ndarray, name: str) -> np.ndarray:
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8:
        raise ValueError(f"what is to be {name} is {pixels.dtype} of shape {pixels.shape}")
    return np.ascontiguousarray(pixels)
