"""Rewrite a weight file that can only be read by EXECUTING what is in it, as safetensors.

python scripts/convert_pickle.py FILE --i-trust-this-file [--out FILE.safetensors]

Some official files are pickles of whole training states. Reading such a file runs whatever its author, or whoever
changed it since, put there, with your rights. Do this only to a file you trust, best in a container without network.
Everything else in this repository reads weights without executing anything, the file written here included.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

from pose2id.errors import UserError, run_command
from pose2id.weights import unwrap, write_safetensors


def execute_pickle(path: Path) -> object:
    """What the torch file holds, built by running its pickle."""
    if not path.is_file():
        raise UserError(f"weight file {path} does not exist")
    try:
        return torch.load(path, map_location="cpu", weights_only=False)
    except ModuleNotFoundError as error:
        raise UserError(f"{path} needs the Python module '{error.name}': install it for this step") from error
    except Exception as error:  # the pickle may do, and raise, anything
        raise UserError(f"cannot read {path}: {' '.join(str(error).split())[:150]}") from error


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--out", type=Path, default=None, help="default: beside the file")
    parser.add_argument("--i-trust-this-file", action="store_true", help="needed: the file's code will be executed")
    args = parser.parse_args()
    target = args.out or args.file.with_suffix(".safetensors")
    if not args.i_trust_this_file:
        raise UserError(f"reading {args.file} executes code in it; if you trust who made it, add --i-trust-this-file")
    if target.exists():
        raise UserError(f"{target} exists already; remove it or name another --out")
    tensors = unwrap(execute_pickle(args.file), args.file)
    write_safetensors(tensors, target)
    print(f"{args.file} -> {target}: {len(tensors)} tensors")


if __name__ == "__main__":
    run_command(main)
