"""Which files are opened at all: ordinary ones, with a name that can be written down; and what the others are."""

import os
import stat
from pathlib import Path

import psutil

from ..errors import UserError, printable

NOT_ORDINARY = {
    stat.S_ISDIR: "is a folder, not a file",
    stat.S_ISFIFO: "is a pipe (FIFO), not a file",
    stat.S_ISSOCK: "is a socket, not a file",
    stat.S_ISCHR: "is a device, not a file",
    stat.S_ISBLK: "is a device, not a file",
}
# How files start that people have by mistake, and what they are.
STARTS = {
    b"version https://git-lfs": "a Git LFS pointer, not the file itself: fetch it with git lfs pull",
    b"\x1f\x8b": "a gzip archive: unpack it, and give the file inside",
    b"BZh": "a bzip2 archive: unpack it, and give the file inside",
    b"\xfd7zXZ\x00": "an xz archive: unpack it, and give the file inside",
    b"7z\xbc\xaf": "a 7-zip archive: unpack it, and give the file inside",
    b"Rar!": "a RAR archive: unpack it, and give the file inside",
    b"\x28\xb5\x2f\xfd": "a Zstandard archive: unpack it, and give the file inside",
    b"%PDF": "a PDF document",
}
PAGES = (b"<!doctype", b"<html", b"<head", b"<?xml", b"<error")
ZIP = (b"PK\x03\x04", b"PK\x05\x06")
TAR_MARK = slice(257, 262)  # where a tar archive says "ustar"
HEAD = 512

LARGE = 2**28  # bytes; anything below may be as compressible as it likes
EXPANSION = 200  # how many times its size on disk a larger array may have in memory


def fault_of(path: str | Path) -> str:
    """Why `path` cannot be opened as an ordinary file, as the end of a sentence; "" where it can. Opens nothing."""
    try:
        os.fspath(path).encode("utf-8")
        mode = Path(path).stat().st_mode
    except FileNotFoundError:
        return "is a link to nothing" if Path(path).is_symlink() else "does not exist"
    except UnicodeEncodeError:
        return "has a name that is not UTF-8; rename it"
    except NotADirectoryError:
        return "does not exist"
    except (OSError, ValueError) as error:  # a loop of links, a name that is too long or has a NUL
        return f"cannot be opened: {error.strerror if isinstance(error, OSError) else error}"
    return next((fault for is_kind, fault in NOT_ORDINARY.items() if is_kind(mode)), "")


def require_file(path: str | Path, what: str, remedy: str = "") -> Path:
    """`path`, if it is an ordinary file; else a `UserError` "`what` PATH does not exist; `remedy`" or the like."""
    if fault := fault_of(path):
        name = printable(path) if len(os.fspath(path)) <= 300 else f"{printable(path)[:300]}..."
        raise UserError(f"{what} {name!s} {fault}{f'; {remedy}' if remedy else ''}".replace("\0", "\\0"))
    return Path(path)


def foreign_kind(path: Path) -> str:
    """What a file is that is neither text nor arrays, with what to do about it; "" for all others."""
    head = head_of(path)
    if not head:
        return "an empty file"
    if head.lstrip().lower().startswith(PAGES):
        return f"a web page, as it starts with {head[:20]!r}, and not the file"
    if head[TAR_MARK] == b"ustar":
        return "a tar archive: unpack it, and give the file inside"
    return next((kind for start, kind in STARTS.items() if head.startswith(start)), "")


def head_of(path: Path) -> bytes:
    """The first bytes of a file; `UserError` where reading is not allowed."""
    try:
        with path.open("rb") as file:
            return file.read(HEAD)
    except OSError as error:
        raise UserError(f"cannot read {printable(path)}: {error.strerror or error}") from error


def check_size(claimed: int, stored: int, where: str) -> None:
    """`UserError` for an array of `claimed` bytes, kept in `stored` ones, that no honest file holds or no memory."""
    free = psutil.virtual_memory().available
    if claimed > LARGE and claimed > EXPANSION * max(stored, 1):
        raise UserError(
            f"{where} claims {claimed:,} bytes but has {stored:,}: it is damaged or was made to fill memory"
        )
    if claimed > free:
        raise UserError(f"{where} needs {claimed:,} bytes of memory, and {free:,} are free; cut it into smaller files")


def one_line(error: BaseException, limit: int | None = 150) -> str:
    """What a library's exception says, in one line of at most `limit` characters."""
    return " ".join(str(error).split("\n")[0].split())[:limit] or type(error).__name__
