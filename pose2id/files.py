"""Files that are either whole or not there."""

import os
import re
import socket
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import get_ident

import psutil

from .errors import UserError

# Name of a file while it is written: machine, process, thread, name to be.
PARTIAL_NAME = re.compile(r"\.([0-9a-f]{8})-(\d+)-\d+~.+")


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A hidden file beside `path` to write to, which takes its place when the block ends well.

    Makes the folder if it is missing. Raises `UserError` naming the file when it cannot be written.
    """
    path = Path(path)
    partial = path.with_name(f".{_machine()}-{os.getpid()}-{get_ident()}~{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        partial.replace(path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            partial.unlink()


def remove_leftovers(folder: str | Path) -> list[Path]:
    """Remove what killed processes of this machine left half written in `folder` and below; returns what was removed.

    Files of living processes and of other machines that share the folder stay.
    """
    removed = []
    for path in Path(folder).rglob(".*~*"):
        match = PARTIAL_NAME.fullmatch(path.name)
        if match and match[1] == _machine() and not psutil.pid_exists(int(match[2])):
            with suppress(OSError):
                path.unlink()
                removed.append(path)
    return removed


def write_text(path: str | Path, text: str) -> None:
    """Write a text file, so that the file is either whole or what it was before."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def _machine() -> str:
    return f"{zlib.crc32(socket.gethostname().encode()):08x}"
