"""Rewrite weight files: official `.pth` to `.safetensors`, or back. Every bit of every tensor is kept.

python scripts/convert_checkpoint.py pretrained --to safetensors [--out_dir DIR]

Give files or folders; of a folder, every weight file in it is converted. Nothing in the files is executed, and an
existing file is never overwritten.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

from pose2id.errors import UserError, run_command
from pose2id.files import replacing
from pose2id.weights import read_tensors, write_safetensors

SUFFIXES = {"safetensors": ".safetensors", "pth": ".pth"}


def convert(source: Path, target: Path) -> int:
    """Write the tensors of `source` to `target` in the format of its suffix; returns how many there are."""
    tensors = read_tensors(source)
    if target.suffix == ".pth":
        with replacing(target) as partial:
            torch.save(tensors, partial)
    else:
        write_safetensors(tensors, target)
    return len(tensors)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", nargs="+", type=Path, help="weight files, or folders of them")
    parser.add_argument("--to", choices=SUFFIXES, default="safetensors")
    parser.add_argument("--out_dir", type=Path, default=None, help="default: beside each source")
    args = parser.parse_args()
    wanted = SUFFIXES[args.to]
    others = set(SUFFIXES.values()) - {wanted}
    files: list[Path] = []
    for source in args.sources:
        found = sorted(path for path in source.iterdir() if path.suffix in others) if source.is_dir() else [source]
        if not found:
            raise UserError(f"folder {source} holds no {' or '.join(sorted(others))} files to convert")
        files += found
    targets = [(args.out_dir or path.parent) / f"{path.stem}{wanted}" for path in files]
    for path, target in zip(files, targets, strict=True):
        if target.exists():
            raise UserError(f"{target} exists already; remove it or name another --out_dir")
        print(f"{path} -> {target}: {convert(path, target)} tensors")


if __name__ == "__main__":
    run_command(main)
