"""Files that are either whole or not there."""

import errno
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

# Name of a file while it is written: machine, process, thread, checksum and suffix of the name to be. Much shorter than
# a name may be, so that whatever name the file system takes can be written.
PARTIAL_NAME = re.compile(r"\.([0-9a-f]{8})-(\d+)-\d+~.+")
LONGEST_SUFFIX = 16
REFUSED = {errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL}


class NameRefused(UserError):
    """The file system does not take the name of a file; others can still be written."""


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A hidden file beside `path` to write to, which takes its place when the block ends well.

    Makes the folder if it is missing. Raises `UserError` naming the file when it cannot be written, `NameRefused` where
    its name is why.
    """
    path = Path(path)
    suffix = path.suffix if len(path.suffix) <= LONGEST_SUFFIX else ""
    name = f"{zlib.crc32(os.fsencode(path.name)):08x}{suffix}"
    partial = path.with_name(f".{_machine()}-{os.getpid()}-{get_ident()}~{name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        partial.replace(path)
    except OSError as error:
        kind = NameRefused if error.errno in REFUSED else UserError
        raise kind(f"cannot write {path}: {error.strerror or error}") from error
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
