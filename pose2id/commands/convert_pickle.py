"""Rewrite a weight file that can only be read by EXECUTING what is in it, as safetensors.

pose2id convert-pickle FILE --i-trust-this-file [--out FILE.safetensors]

Some official files are pickles of whole training states. Reading such a file runs whatever its author, or whoever
changed it since, put there, with your rights. Do this only to a file you trust, best in a container without network.
Everything else in this repository reads weights without executing anything, the file written here included.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from ..errors import UserError, printable
from ..reading.files import foreign_kind, one_line, require_file
from ..reading.torch_files import foreign_start, remedy_for
from ..settings.flags import parse_command
from ..weights import unwrap, write_safetensors
from .convert import stem_of

REMEDY = "give a file that torch.save wrote, or get it again"


def execute_pickle(path: Path) -> object:
    """What the torch file holds, built by running its pickle."""
    require_file(path, "weight file")
    if kind := foreign_kind(path):
        raise UserError(f"cannot read {printable(path)}: it is {kind}{remedy_for(kind, REMEDY)}")
    try:
        # Text and numbers that Python 2 pickled are bytes, which latin-1 gives back as they were.
        return torch.load(path, map_location="cpu", weights_only=False, encoding="latin1")
    except ModuleNotFoundError as error:
        raise UserError(f"{path} needs the Python module '{error.name}': install it for this step") from error
    except Exception as error:  # the pickle may do, and raise, anything
        start = foreign_start(path)
        reason = f"it starts with {start}" if start else one_line(error)
        raise UserError(f"cannot read {printable(path)}: {reason}; {REMEDY}") from error


@dataclass
class ConvertPickleConfig:
    file: list[str] = field(default_factory=list)  # one weight file
    out: str | None = None  # beside the file
    i_trust_this_file: bool = False  # needed: the file's code will be executed


def main(arguments: Sequence[str]) -> None:
    own = ["--i_trust_this_file" if word == "--i-trust-this-file" else word for word in arguments]
    config = parse_command(ConvertPickleConfig, __doc__, own, positional="file")
    if config is None:
        return
    if len(config.file) != 1:
        raise UserError("name one weight file")
    source = Path(config.file[0])
    target = Path(config.out) if config.out else source.with_name(f"{stem_of(source)}.safetensors")
    if not config.i_trust_this_file:
        raise UserError(f"reading {source} executes code in it; if you trust who made it, add --i-trust-this-file")
    if target.exists():
        raise UserError(f"{target} exists already; remove it or name another --out")
    tensors = unwrap(execute_pickle(source), source)
    write_safetensors(tensors, target)
    print(f"{source} -> {target}: {len(tensors)} tensors")
