"""Rewrite weight files: official `.pth` to `.safetensors`, or back. Every bit of every tensor is kept.

pose2id convert pretrained --to safetensors [--out_dir DIR]

Give files or folders; of a folder, every weight file in it is converted, `.pth.tar` too. Nothing in the files is
executed, and an existing file is never overwritten. Files that cannot be converted are named, and the exit code is then
1; of a single file it is 2.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from ..errors import UserError, printable
from ..files import replacing
from ..settings.flags import parse_command
from ..weights import read_tensors, write_safetensors

# The ends of names that each format goes by, its own first.
FORMATS = {"safetensors": (".safetensors",), "pth": (".pth", ".pth.tar")}


def convert(source: Path, target: Path) -> int:
    """Write the tensors of `source` to `target` in the format of its suffix; returns how many there are."""
    tensors = read_tensors(source)
    if target.suffix == ".pth":
        with replacing(target) as partial, partial.open("wb") as file:
            torch.save(tensors, file)  # given a path, it would write the name of the partial file into the archive
    else:
        write_safetensors(tensors, target)
    return len(tensors)


@dataclass
class ConvertConfig:
    sources: list[str] = field(default_factory=list)  # weight files, or folders of them
    to: str = "safetensors"  # or pth
    out_dir: str | None = None  # beside each source


def main(arguments: Sequence[str]) -> int | None:
    config = parse_command(ConvertConfig, __doc__, arguments, positional="sources")
    if config is None:
        return None
    if config.to not in FORMATS or not config.sources:
        raise UserError(f"name weight files or folders, and --to one of: {', '.join(FORMATS)}")
    places = _places(config)
    failures = []
    for path, target in places:
        try:
            if target.exists():
                raise UserError(f"{target} exists already; remove it or name another --out_dir")
            print(f"{printable(path)} -> {printable(target)}: {convert(path, target)} tensors")
        except UserError as error:
            if len(places) == 1:
                raise
            failures.append(printable(error))
    if failures:
        print(f"{len(failures)} files could not be converted:", *failures, sep="\n  ", file=sys.stderr)
    return 1 if failures else None


def _places(config: ConvertConfig) -> list[tuple[Path, Path]]:
    """Each file to convert, and where it goes; `UserError` for a folder without any."""
    others = tuple(end for name, ends in FORMATS.items() if name != config.to for end in ends)
    files: list[Path] = []
    for source in map(Path, config.sources):
        found = sorted(path for path in source.iterdir() if path.name.endswith(others)) if source.is_dir() else [source]
        if not found:
            raise UserError(f"folder {printable(source)} holds no {' or '.join(others)} files to convert")
        files += found
    return [(path, Path(config.out_dir or path.parent) / f"{stem_of(path)}{FORMATS[config.to][0]}") for path in files]


def stem_of(path: Path) -> str:
    """The name of a weight file without its end, of `x.pth.tar` as of `x.pth`."""
    ends = (end for ends in FORMATS.values() for end in ends if path.name.endswith(end))
    return path.name.removesuffix(next(ends, path.suffix))
