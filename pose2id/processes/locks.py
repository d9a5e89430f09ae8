"""One run at a time in a folder: a lock that ends with its process, however that ends."""

import errno
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import UserError
from ..files import writing

try:
    import fcntl
except ImportError:  # Windows: there runs are not kept apart
    fcntl = None  # type: ignore[assignment]

LOCK_FILE = ".lock"
TAKEN = (errno.EACCES, errno.EAGAIN)
_held: set[Path] = set()  # folders that this process has locked


@contextmanager
def locked(folder: str | Path, wait: bool = False, here: bool = True) -> Iterator[None]:
    """No other run writes into `folder` meanwhile; makes the folder if it is missing.

    A second run raises `UserError`, or with `wait` says so and waits. Of processes that work together one holds the
    lock for all: `here` says whether it is this one. The lock is one of the process (`lockf`), so that neither kills
    nor workers that live on leave it behind, and it holds between containers and machines that share the disk, where
    the file system knows locks. It may be taken again inside of itself.
    """
    folder = Path(folder)
    place = Path(os.path.realpath(folder))
    if fcntl is None or not here or place in _held:
        yield
        return
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = _take(folder, wait)
    _held.add(place)
    try:
        yield
    finally:
        _held.discard(place)
        with suppress(OSError):
            (folder / LOCK_FILE).unlink()
        os.close(descriptor)


def _take(folder: Path, wait: bool) -> int:
    """The descriptor of the folder's lock file, locked."""
    path = folder / LOCK_FILE
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _lock(descriptor, folder, wait)
            if _is_file(descriptor, path):
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # whoever had it has removed it


def _lock(descriptor: int, folder: Path, wait: bool) -> None:
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):  # a file system without locks
            return
        if error.errno not in TAKEN:
            raise
        who = os.pread(descriptor, 200, 0).decode(errors="replace") or "a process"
        if not wait:
            raise UserError(
                f"{folder} is in use by another run ({who}); wait until that has ended, or name another folder"
            ) from error
        print(f"waiting for another run ({who}) that works in {folder}", file=sys.stderr)
        fcntl.lockf(descriptor, fcntl.LOCK_EX)


def _is_file(descriptor: int, path: Path) -> bool:
    """Whether `path` still is the file that is open."""
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(descriptor), path.stat())
    return False
