"""Files that are either whole or not there."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import get_ident

from .errors import UserError


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A hidden file beside `path` to write to, which takes its place when the block ends well.

    Makes the folder if it is missing. Raises `UserError` naming the file when it cannot be written.
    """
    path = Path(path)
    partial = path.with_name(f".{os.getpid()}.{get_ident()}.{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        partial.replace(path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            partial.unlink()


def write_text(path: str | Path, text: str) -> None:
    """Write a text file, so that the file is either whole or what it was before."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")
