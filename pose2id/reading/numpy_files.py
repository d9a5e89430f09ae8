"""`.npy` and `.npz` files: what the header claims is held against the file before anything is read."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Literal
from zipfile import ZipFile, ZipInfo

import numpy as np
from numpy.lib import format as npy

from ..errors import UserError, printable
from .files import ZIP, check_size, foreign_kind, head_of, one_line, require_file

Wanted = Callable[[str], bool]
HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0, (3, 0): npy.read_array_header_2_0}
NPY = ".npy"


def read_npy(path: Path, what: str = "file") -> np.ndarray:
    """The array in a `.npy` file; `UserError` for one that is damaged, or holds Python objects."""
    with _told(path, what), path.open("rb") as file:
        return _read_array(file, path.stat().st_size, None, f"{what} {printable(path)}")


def map_npy(path: Path, mode: Literal["r", "r+"] = "r") -> np.ndarray:
    """The array in a `.npy` file, mapped from disk; `UserError` as `read_npy`, a file that was cut included."""
    with _told(path, "file"), path.open("rb") as file:
        _read_header(file, path.stat().st_size, None, f"file {printable(path)}")
        return np.load(path, mmap_mode=mode, allow_pickle=False)


def fits_npy(path: Path, shape: tuple[int, ...], dtype: type) -> bool:
    """Whether `path` is a whole `.npy` file of this shape and type; a cache that is not is made again."""
    try:
        array = map_npy(path)
    except UserError:
        return False
    return array.shape == shape and array.dtype == dtype


def read_npz(path: Path, wanted: Wanted, what: str = "file") -> dict[str, np.ndarray | None]:
    """The arrays of an `.npz` file by name, None for those that are not `wanted`, which are not read."""
    if not head_of(require_file(path, what)).startswith(ZIP):
        kind = foreign_kind(path) or "damaged, or no .npz file"
        raise UserError(f"cannot read {what} {printable(path)}: it is {kind}")
    arrays = {}
    with _told(path, what), ZipFile(path) as archive:
        for member in archive.infolist():
            name = member.filename.removesuffix(NPY)
            arrays[name] = _read_member(archive, member, f"{name} in {printable(path)}") if wanted(name) else None
    return arrays


def _read_member(archive: ZipFile, member: ZipInfo, where: str) -> np.ndarray:
    if not member.filename.endswith(NPY):
        raise UserError(f"{where} is no array")
    check_size(member.file_size, member.compress_size, where)
    with archive.open(member) as file:
        return _read_array(file, member.file_size, member.compress_size, where)


def _read_array(file: IO[bytes], size: int, stored: int | None, where: str) -> np.ndarray:
    shape, fortran, dtype = _read_header(file, size, stored, where)
    count = int(np.prod(shape, dtype=object))
    content = file.read(count * dtype.itemsize)
    if len(content) != count * dtype.itemsize or file.read(1):
        raise UserError(f"{where} is damaged: its header and its length do not agree")
    array = np.frombuffer(bytearray(content), dtype, count)
    return array.reshape(shape, order="F" if fortran else "C")


def _read_header(file: IO[bytes], size: int, stored: int | None, where: str) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, order and type that the header claims, where `size` bytes in all can hold it."""
    version = npy.read_magic(file)
    if version not in HEADERS:
        raise UserError(f"{where} is of version {version} of the format, which is unknown")
    shape, fortran, dtype = HEADERS[version](file)
    if dtype.hasobject:
        raise UserError(
            f"{where} holds Python objects (dtype {dtype}; ragged lists become that), which only unpickling with "
            "allow_pickle could read, and pickles can run code; save arrays of numbers"
        )
    claimed = int(np.prod(shape, dtype=object)) * dtype.itemsize
    if any(side < 0 for side in shape) or claimed != size - file.tell():
        rest = size - file.tell()
        raise UserError(f"{where} is damaged: it claims {dtype} {shape}, {claimed:,} bytes, but has {rest:,}")
    check_size(claimed, size if stored is None else stored, where)
    return shape, fortran, dtype


@contextmanager
def _told(path: Path, what: str) -> Iterator[None]:
    """`UserError` for a file that is not there, for one of another kind, and in place of the library's errors."""
    require_file(path, what)
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # of damaged files the readers raise whatever they stumble over
        kind = foreign_kind(path)
        reason = f"it is {kind}" if kind else one_line(error)
        raise UserError(f"cannot read {what} {printable(path)}: {reason}") from error
