"""Files that are either whole or not there."""

import errno
import hashlib
import os
import re
import shutil
import socket
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from threading import get_ident

import numpy as np
import psutil
from safetensors import SafetensorError

from .errors import UserError

# Name of a hidden folder that holds what is being written: machine, process, thread, number. (Before: of the file.)
PARTIAL_NAME = re.compile(r"\.([0-9a-f]{8})-(\d+)-\d+(-\d+)?~.*")
TORCH_CANNOT_WRITE = re.compile(r"PytorchStreamWriter|inline_container|unexpected pos|file write failed")
REFUSED = {errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL}
_numbers = count()
_tidied: set[Path] = set()  # folders that this process has written to


class NameRefused(UserError):
    """The file system does not take the name of a file; others can still be written."""


@contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """Whatever cannot be written in the block raises `UserError` naming `path`: full disks, read-only folders.

    `NameRefused` where its name is why.
    """
    try:
        yield
    except (OSError, SafetensorError, RuntimeError) as error:
        if isinstance(error, OSError):
            reason = error.strerror or str(error)
        elif isinstance(error, SafetensorError):
            reason = " ".join(str(error).split())[:150]
        elif TORCH_CANNOT_WRITE.search(str(error)):
            reason = "No space left on device, or it fails"
        else:
            raise
        kind = NameRefused if isinstance(error, OSError) and error.errno in REFUSED else UserError
        raise kind(f"cannot write {path}: {reason}") from error


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A file of the same name in a hidden folder beside `path`, which takes its place when the block ends well.

    Makes the folder if it is missing; whoever may read new files here may read this one. Raises `UserError` naming the
    file when it cannot be written.
    """
    path = Path(path)
    with replacing_in(path.parent, path) as hidden:
        yield hidden / path.name


@contextmanager
def replacing_in(folder: str | Path, named: Path | None = None) -> Iterator[Path]:
    """A hidden folder in `folder`; the files in it take their places there, one by one, when the block ends well.

    Before the first, what killed processes left there goes, see `remove_leftovers`. named: what a `UserError` calls
    what cannot be written; by default the folder.
    """
    folder = Path(folder)
    hidden = folder / f".{_machine()}-{os.getpid()}-{get_ident()}-{next(_numbers)}~"
    try:
        with writing(named or folder):
            folder.mkdir(parents=True, exist_ok=True)
            if folder not in _tidied:
                _tidied.add(folder)
                _remove_dead(folder.glob(".*~*"))
            hidden.mkdir()
            yield hidden
            mode = hidden.stat().st_mode & 0o666  # by the user's umask; some writers keep files to themselves
            for file in sorted(hidden.iterdir()):
                file.chmod(mode)
                file.replace(folder / file.name)
    finally:
        shutil.rmtree(hidden, ignore_errors=True)


def remove_leftovers(folder: str | Path) -> list[Path]:
    """Remove what killed processes of this machine left half written in `folder` and below; returns what was removed.

    What belongs to living processes, and to other machines that share the folder, stays.
    """
    return _remove_dead(Path(folder).rglob(".*~*"))


def _remove_dead(paths: Iterable[Path]) -> list[Path]:
    removed = []
    for path in list(paths):
        match = PARTIAL_NAME.fullmatch(path.name)
        if match and match[1] == _machine() and not psutil.pid_exists(int(match[2])):
            with suppress(OSError):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
                removed.append(path)
    return removed


def write_text(path: str | Path, text: str) -> None:
    """Write a text file, so that the file is either whole or what it was before."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def fingerprint(path: Path) -> str:
    """The file's name and the SHA-256 of its content."""
    with path.open("rb") as file:
        return f"{path.name} {hashlib.file_digest(file, 'sha256').hexdigest()}"


def create_array(path: Path, dtype: type, shape: tuple[int, ...]) -> np.ndarray:
    """A file *.npy of zeros, mapped to be written; `UserError` where the disk has no room for all of it.

    The room is taken before anything is mapped: a disk that is full later would end the process with SIGBUS.
    """
    header = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": shape}
    with writing(path), path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        file.flush()
        _take_room(file.fileno(), file.tell() + np.dtype(dtype).itemsize * int(np.prod(shape, dtype=np.int64)))
    return np.load(path, mmap_mode="r+")


def _take_room(descriptor: int, size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
        return
    start = os.lseek(descriptor, 0, os.SEEK_END)
    for place in range(start, size, 2**20):
        os.write(descriptor, bytes(min(2**20, size - place)))


def _machine() -> str:
    return f"{zlib.crc32(socket.gethostname().encode()):08x}"
