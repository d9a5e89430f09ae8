"""Rewrite weight files: official `.pth` to `.safetensors`, or back. Every bit of every tensor is kept.

pose2id convert pretrained --to safetensors [--out_dir DIR]

Give files or folders; of a folder, every weight file in it is converted. Nothing in the files is executed, and an
existing file is never overwritten.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from ..errors import UserError
from ..files import replacing
from ..settings.flags import parse_command
from ..weights import read_tensors, write_safetensors

SUFFIXES = {"safetensors": ".safetensors", "pth": ".pth"}


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


def main(arguments: Sequence[str]) -> None:
    config = parse_command(ConvertConfig, __doc__, arguments, positional="sources")
    if config is None:
        return
    if config.to not in SUFFIXES or not config.sources:
        raise UserError(f"name weight files or folders, and --to one of: {', '.join(SUFFIXES)}")
    wanted = SUFFIXES[config.to]
    others = set(SUFFIXES.values()) - {wanted}
    files: list[Path] = []
    for source in map(Path, config.sources):
        found = sorted(path for path in source.iterdir() if path.suffix in others) if source.is_dir() else [source]
        if not found:
            raise UserError(f"folder {source} holds no {' or '.join(sorted(others))} files to convert")
        files += found
    targets = [Path(config.out_dir or path.parent) / f"{path.stem}{wanted}" for path in files]
    for path, target in zip(files, targets, strict=True):
        if target.exists():
            raise UserError(f"{target} exists already; remove it or name another --out_dir")
        print(f"{path} -> {target}: {convert(path, target)} tensors")
