"""Files of arrays, whatever their kind: the names in them, and those arrays that are wanted."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..errors import UserError, printable
from .files import one_line, require_file
from .mat_files import read_mat
from .numpy_files import Wanted, read_npy, read_npz
from .safetensors_files import read_safetensors
from .torch_files import NotPlain, check_tensor, read_torch

Arrays = Mapping[str, object]  # by name; None for what is there but was not wanted

ALONE = ""  # the name of an array that has none, in a file of one


def read_arrays(path: str | Path, wanted: Wanted, what: str = "feature file", also: Iterable[str] = ()) -> Arrays:
    """What a file of arrays holds, by name, `ALONE` for a single one; values are for `as_tensor`.

    also: suffixes that the caller reads in another way, for the message.
    `UserError` starting with `what` for a file that is not there, cannot be read, or is of another kind. Nothing in it
    is executed.
    """
    path = require_file(path, what)
    read = READERS.get(path.suffix.lower())
    if read is None:
        kinds = ", ".join([*READERS, *also])
        raise UserError(
            f"{printable(path)} is not one of {kinds}; save it as .npz (pickles can run code and are not read)"
        )
    return read(path, wanted, what)


def _npy(path: Path, wanted: Wanted, what: str) -> Arrays:
    array = read_npy(path, what)
    return {ALONE: array} if array.dtype.names is None else {name: array[name] for name in array.dtype.names}


def _torch(path: Path, wanted: Wanted, what: str) -> Arrays:
    try:
        content = read_torch(path, what)
    except NotPlain as error:
        raise UserError(
            f"{printable(path)} holds more than tensors, numbers and lists; save a dict of tensors"
        ) from error
    if isinstance(content, Mapping):
        return {str(name): value for name, value in content.items()}
    if isinstance(content, Tensor):
        return {ALONE: content}
    kind = type(content).__name__
    kind += f" of {len(content)}" if isinstance(content, list | tuple) else ""
    raise UserError(f"{printable(path)} holds a {kind}; save a dict of tensors, such as feats, pids and camids")


READERS: dict[str, Callable[[Path, Wanted, str], Arrays]] = {
    ".npz": read_npz,
    ".npy": _npy,
    ".mat": read_mat,
    ".pt": _torch,
    ".pth": _torch,
    ".safetensors": lambda path, wanted, what: read_safetensors(path, what),
}


def as_tensor(values: object, name: str) -> Tensor:
    """A tensor of real numbers from an array, a tensor, or lists of numbers or tensors; else `UserError`.

    Numbers of more than 64 bits are rounded to float64.
    """
    if isinstance(values, list | tuple) and values and all(isinstance(value, Tensor) for value in values):
        shapes = {tuple(check_tensor(value, name).shape) for value in values}
        if len(shapes) > 1:
            raise UserError(f"{name} is a list of tensors of several shapes, such as {min(shapes)} and {max(shapes)}")
        values = torch.stack([value.detach() for value in values])
    if isinstance(values, Tensor):
        return check_tensor(values, name)
    try:
        array = np.asarray(values)
    except (ValueError, TypeError, OverflowError, RuntimeError) as error:
        raise UserError(f"{name} is no array, its rows differ in length: {one_line(error)}") from error
    if array.dtype.kind not in "fiub":
        raise UserError(f"{name} must be numbers, got {array.dtype}")
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        array = array.astype(np.float64)
    return torch.from_numpy(np.ascontiguousarray(array.astype(array.dtype.newbyteorder("="))))
