"""Torch files: checksums are verified, sizes are checked, and no pickle in them is executed."""

import pickle
import warnings
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import torch
from torch import Tensor

from ..errors import UserError, printable
from .files import ZIP, check_size, foreign_kind, head_of, one_line, require_file

SCALAR = np.float64(0).__reduce__()[0]  # what NumPy's scalars are pickled with
# What torchreid-style savers put beside the tensors. The config class stands for a plain dictionary.
HARMLESS: list[Any] = [
    (OrderedDict, "yacs.config.CfgNode"),
    (SCALAR, "numpy._core.multiarray.scalar"),
    (SCALAR, "numpy.core.multiarray.scalar"),
    np.dtype,
    *(type(np.dtype(kind)) for kind in (np.float64, np.float32, np.int64)),
]
CHUNK = 2**22


class NotPlain(UserError):
    """The file is damaged, or holds more than tensors, numbers, text, lists and dictionaries of these."""


def read_torch(path: Path, what: str = "file", remedy: str = "get the file again") -> object:
    """What a torch file holds, tensors on the CPU, mapped from disk where the format allows it.

    Raises `UserError` starting with `what` for a file that is damaged or of another kind, `NotPlain` where only
    executing a pickle could read it.
    """
    require_file(path, what)
    if kind := foreign_kind(path):
        raise UserError(f"cannot read {what} from {printable(path)}: it is {kind}{remedy_for(kind, remedy)}")
    zipped = head_of(path).startswith(ZIP)
    if zipped:
        verify_archive(path, what, remedy)
    elif start := foreign_start(path):
        raise UserError(f"cannot read {what} from {printable(path)}: it starts with {start}; {remedy}")
    try:
        with torch.serialization.safe_globals(HARMLESS), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except pickle.UnpicklingError as error:
        raise NotPlain(f"{printable(path)} is damaged, or cannot be read without executing a pickle") from error
    except Exception as error:  # of damaged files the reader raises whatever it stumbles over
        raise UserError(f"cannot read {what} from {printable(path)}: {one_line(error)}; {remedy}") from error


def foreign_start(path: Path) -> str:
    """What a file starts with that is no torch file, or one of a very old pickle protocol; "" for all others."""
    head = head_of(path)
    return "" if head.startswith((*ZIP, pickle.PROTO)) else f"{head[:20]!r}, as no torch file does"


def remedy_for(kind: str, remedy: str) -> str:
    """The end of a message: `remedy`, unless the kind of a file says what to do."""
    return "" if ":" in kind else f"; {remedy}"


def verify_archive(path: Path, what: str, remedy: str) -> None:
    """`UserError` for an archive that is not one of torch, whose checksums are wrong, or that claims too much."""
    start = f"cannot read {what} from {printable(path)}"
    try:
        with ZipFile(path) as archive:
            names = [member.filename for member in archive.infolist()]
            if any(name.endswith("/constants.pkl") for name in names):
                raise UserError(f"{start}: it is a program (TorchScript), not tensors; give --extractor file for it")
            if not any(name.endswith("data.pkl") for name in names):
                raise UserError(f"{start}: it is a zip archive: unpack it, and give the file inside")
            for member in archive.infolist():
                check_size(member.file_size, member.compress_size, f"{member.filename} in {printable(path)}")
                with archive.open(member) as file:
                    while file.read(CHUNK):  # the end of a member compares its checksum
                        pass
    except UserError:
        raise
    except Exception as error:  # of damaged archives the library raises errors of any kind
        raise UserError(f"{start}: it is damaged or cut short ({one_line(error)}); {remedy}") from error


def plain_fault(tensor: Tensor) -> str:
    """Why a tensor cannot be used as an array of numbers, as the end of "it is ..."; "" where it can."""
    if tensor.is_meta:
        return "a meta tensor, without any numbers"
    if tensor.is_nested:
        return "a nested tensor"
    if tensor.layout is not torch.strided:
        return f"sparse ({str(tensor.layout).removeprefix('torch.')}); call to_dense() before saving"
    if tensor.is_quantized:
        return "quantised; call dequantize() before saving"
    return f"complex ({tensor.dtype})" if tensor.is_complex() else ""


def check_tensor(tensor: Tensor, where: str) -> Tensor:
    """`tensor`, without its gradient, if it is plain and no larger than what is stored of it; else `UserError`."""
    if fault := plain_fault(tensor):
        raise UserError(f"{where} must be numbers, got {fault}" if tensor.is_complex() else f"{where} is {fault}")
    check_size(tensor.numel() * tensor.element_size(), tensor.untyped_storage().nbytes(), where)
    return tensor.detach()


def unwrap(content: object, keys: tuple[str, ...]) -> object:
    """What lies in `content` below the first of `keys` that holds a mapping, as often as there is one."""
    while isinstance(content, Mapping):
        inner = next((content[key] for key in keys if isinstance(content.get(key), Mapping)), None)
        if inner is None:
            break
        content = inner
    return content
