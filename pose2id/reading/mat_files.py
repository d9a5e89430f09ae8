"""MATLAB files, read in a process of their own: damaged ones can make the library crash, which must not end a run."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from ..errors import UserError, printable
from .files import foreign_kind, one_line, require_file
from .numpy_files import Wanted, read_npz

READER = Path(__file__).with_name("mat_child.py")
SECONDS = 60  # and one more for each of
BYTES_A_SECOND = 2**22
LEAST_MEMORY = 2**32  # bytes, for the process with its libraries
EXPANSION = 20  # times the size of the file
MATLAB_73 = b"\x89HDF"
OTHER = ":"  # in the name of an entry that is no array of numbers, before what it is
TEXT = "text"  # behind that, for one of text, which alone is written with its content


def read_mat(
    path: Path, wanted: Wanted = lambda name: True, what: str = "file", text: bool = False
) -> dict[str, np.ndarray | None]:
    """The numeric arrays of a MATLAB file (up to version 7) by name, None for what is no array or not `wanted`.

    Cells are named `name/0`, `name/1`, cells within them `name/0/3`. With `text`, text is an array too, and so is a
    cell array of texts, in one dimension. `UserError` for a file that is damaged, of version 7.3, or takes too long or
    too much memory.
    """

    def is_read(name: str) -> bool:
        name, _, kind = name.partition(OTHER)
        return (not kind or (text and kind == TEXT)) and wanted(name.split("/")[0])

    require_file(path, what)
    start = f"cannot read {what} {printable(path)}"
    if kind := foreign_kind(path):
        raise UserError(f"{start}: it is {kind}")
    size = path.stat().st_size
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "arrays.npz"
        _run(path.resolve(), result, size, start)
        arrays = read_npz(result, is_read)
    return {name.split(OTHER)[0]: array for name, array in arrays.items()}


def _run(path: Path, result: Path, size: int, start: str) -> None:
    """Let the other process write what it reads; `UserError` for whatever keeps it from that."""
    if not sys.executable:
        raise UserError(f"{start}: MATLAB files are read by a second Python process, which cannot be started here")
    seconds = SECONDS + size // BYTES_A_SECOND
    memory = max(LEAST_MEMORY, EXPANSION * size)
    command = [sys.executable, "-P", str(READER), str(path), str(result), str(memory)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            command, timeout=seconds, stdin=subprocess.DEVNULL, capture_output=True, env=environment, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise UserError(f"{start}: it is damaged, or takes more than {seconds} s to read; save it as .npz") from error
    except OSError as error:
        raise UserError(f"{start}: the process that reads MATLAB files cannot be started: {error.strerror}") from error
    if done.returncode < 0:
        raise UserError(f"{start}: it is damaged: reading it ended with signal {-done.returncode}; get it again")
    if done.returncode:
        told = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["no reason was given"]
        raise UserError(f"{start}: {one_line(ValueError(told[-1]))}")
