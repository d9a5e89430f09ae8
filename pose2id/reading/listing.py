"""Which files of a folder are pictures, and what lies there that is not read."""

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import UserError, printable
from .decoding import FORMATS

PICTURE_SUFFIXES = frozenset(suffix for suffixes in FORMATS.values() for suffix in suffixes)
# Notes, tables, keypoints, masks and what systems leave behind: known to lie beside pictures, and nobody's fault.
SIDE_SUFFIXES = frozenset(
    {".json", ".jsonl", ".md", ".txt", ".csv", ".tsv", ".xml", ".yaml", ".yml", ".log", ".html"}
    | {".mat", ".npy", ".npz", ".db", ".ini", ".lnk", ".url", ".py", ".m", ".sh"}
)
SIDE_NAMES = frozenset(
    {"readme", "license", "licence", "__macosx", "@eadir", "$recycle.bin", "lost+found", "system volume information"}
)
LINKS, ELSEWHERE = "links to folders", "pictures in other folders"  # kinds of what is left out
SINGLE = {LINKS: "link to a folder", ELSEWHERE: "picture in another folder"}


def list_pictures(folder: str | Path) -> tuple[list[Path], list[Path]]:
    """The picture files of a folder and the files that should not be there, each in natural order.

    Folders, hidden files and side files (`SIDE_SUFFIXES`, `SIDE_NAMES`) are neither. "pose2" comes before "pose10".
    Whatever has a picture's suffix counts as one, also where it turns out to be unreadable; not if its name is no
    UTF-8. Raises `UserError` when the folder does not exist or cannot be looked into.
    """
    entries = [entry for entry in _entries(Path(folder)) if not _is_folder(entry) and not is_side_file(entry.name)]
    files = sorted((Path(entry.path) for entry in entries), key=natural_key)
    pictures = [path for path in files if is_picture(path)]
    return pictures, [path for path in files if not is_picture(path)]


def is_side_file(name: str) -> bool:
    """Whether a file is hidden, or known to lie beside pictures."""
    return is_side_folder(name) or Path(name).suffix.lower() in SIDE_SUFFIXES


def is_side_folder(name: str) -> bool:
    """Whether a folder is hidden, or one that systems leave behind."""
    return name.startswith(".") or name.lower() in SIDE_NAMES


def is_picture(path: Path) -> bool:
    """Whether a file counts as a picture, by its name alone."""
    return path.suffix.lower() in PICTURE_SUFFIXES and is_utf8(path.name)


def why_not(path: Path) -> str:
    """Why a file that `list_pictures` finds is no picture, to follow the file's name."""
    return "is not a picture file" if is_utf8(path.name) else "has a name that is no UTF-8; rename it"


def is_utf8(name: str) -> bool:
    """Whether a file name, as the system gives it, can be written down."""
    return not any("\ud800" <= character <= "\udfff" for character in name)


def natural_key(path: Path) -> tuple:
    """Sort key that compares runs of digits in the file name as numbers."""
    parts = re.split(r"(\d+)", path.name)
    return tuple(int(part) if part.isdecimal() else part for part in parts), path.name


@dataclass
class LeftOut:
    """Files that are neither pictures that are read, nor hidden, nor side files: counts by kind, and an example."""

    counts: Counter[str] = field(default_factory=Counter)
    first: Path | None = None

    def add(self, kind: str, path: Path) -> None:
        self.counts[kind] += 1
        self.first = min(self.first or path, path)

    def add_stranger(self, found: "_Found") -> None:
        """Count a file that has no picture's suffix, or a link to a folder."""
        self.add(LINKS if found.linked else found.path.suffix.lower() or "without suffix", found.path)

    def __str__(self) -> str:
        """One line with what to do; empty where nothing is left out."""
        if not self.counts:
            return ""
        counts = sorted(self.counts.items())
        kinds = ", ".join(f"{count:,} {SINGLE.get(kind, kind) if count == 1 else kind}" for kind, count in counts)
        count = "1 file is" if self.counts.total() == 1 else f"{self.counts.total():,} files are"
        return (
            f"{count} not read ({kinds}), the first {printable(self.first)}; convert, move or remove what should count"
        )


@dataclass(frozen=True)
class _Found:
    """What lies so many folders (`level`) below one: a file, or a link to a folder that is not followed."""

    path: Path
    level: int
    linked: bool

    @property
    def pictured(self) -> bool:
        """Whether it has a picture's suffix."""
        return not self.linked and self.path.suffix.lower() in PICTURE_SUFFIXES


def list_nested(folder: Path) -> tuple[list[Path], LeftOut]:
    """The pictures in a folder and in the folders below it, also those whose name is no UTF-8, and what is not read.

    Links to folders are not followed but counted.
    """
    pictures, others = [], LeftOut()
    for found in _walk(folder, 0):
        if found.pictured:
            pictures.append(found.path)
        else:
            others.add_stranger(found)
    return pictures, others


def find_deeper(folder: Path, beside: Path | None = None) -> LeftOut:
    """The pictures in the folders below one that holds pictures itself, but for what lies in `beside`; and links."""
    left_out, own = LeftOut(), beside and os.path.realpath(beside)
    for found in _walk(folder, 0):
        deeper = found.linked or (found.level and is_picture(found.path))
        if deeper and not (own and Path(os.path.realpath(found.path)).is_relative_to(own)):
            left_out.add(LINKS if found.linked else ELSEWHERE, found.path)
    return left_out


def find_left_out(folders: Mapping[Path, int]) -> LeftOut:
    """What lies in and below `folders` that is not read; each has its pictures so many folders deeper (0: in itself).

    Pictures that lie directly above one of the folders are named too, unless that is another of them.
    """
    left_out = LeftOut()
    for folder, depth in folders.items():
        for found in _walk(folder, depth):
            if not found.pictured:
                left_out.add_stranger(found)
            elif found.level != depth:
                left_out.add(ELSEWHERE, found.path)
    for parent in {folder.parent for folder in folders} - set(folders):
        for path in list_pictures(parent)[0]:
            left_out.add(ELSEWHERE, path)
    return left_out


def _walk(folder: Path, depth: int, level: int = 0) -> Iterator[_Found]:
    """What lies below `folder`, but hidden and side files; links to folders are followed down to `depth`."""
    for entry in _entries(folder):
        inside, is_folder = Path(entry.path), _is_folder(entry)
        if is_folder and is_side_folder(entry.name):
            continue
        if is_folder and (level < depth or not entry.is_symlink()):
            yield from _walk(inside, depth, level + 1)
        elif is_folder or not is_side_file(entry.name):
            yield _Found(inside, level, linked=is_folder)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except FileNotFoundError as error:
        raise UserError(f"folder {folder} does not exist; give an existing folder of pictures") from error
    except (OSError, ValueError) as error:
        raise UserError(f"cannot look into folder {folder}: {error}") from error
