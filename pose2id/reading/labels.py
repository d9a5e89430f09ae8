"""The one rule for labels, of people and of cameras, wherever they come from. docs/evaluate.md states it."""

import re
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from ..errors import UserError
from .text import LARGEST_INT

WHOLE = re.compile(r"([+-]?)0*([0-9]+?)(?:\.0*)?")
DIGITS = 19  # of the largest number
# The whole numbers below which a type tells neighbours apart.
EXACT = {"torch.bfloat16": 2**8, "float16": 2**11, "torch.float16": 2**11, "float32": 2**24, "torch.float32": 2**24}
EXACT_DOUBLE = 2**53


def as_whole(text: str) -> str | None:
    """`0017`, `+17` and `17.0` as `17`; None for text that is no whole number."""
    match = WHOLE.fullmatch(text)
    if match is None:
        return None
    sign = "-" if match[1] == "-" and match[2] != "0" else ""
    return f"{sign}{match[2]}"


def whole_number(text: str, where: str, name: str = "pid") -> int:
    """The number that `text` is; `where` starts the `UserError` for other text, and for 2^63 and above."""
    digits = as_whole(text.strip())
    if digits is None:
        raise UserError(f"{where}: {name} is '{text:.50}'; it must be a whole number")
    if len(digits.lstrip("-")) > DIGITS or abs(int(digits)) > LARGEST_INT:
        raise UserError(f"{where}: {name} {digits[:DIGITS]}... is too large; whole numbers end at 2^63 - 1")
    return int(digits)


def number_labels(labels: Iterable[str], where: str, name: str = "pid") -> dict[str, int]:
    """Whole numbers are their value; if one label is anything else, all are numbered from 0 in sorted order.

    Labels that are the same number, such as 1, 001 and 1.0, are one in either case.
    """
    names = sorted(set(labels))
    whole = {text: as_whole(text) for text in names}
    if all(digits is not None for digits in whole.values()):
        return {text: whole_number(text, where, name) for text in names}
    numbers: dict[str, int] = {}
    for text in names:
        numbers.setdefault(whole[text] or text, len(numbers))
    return {text: numbers[whole[text] or text] for text in names}


def as_integers(values: Tensor | np.ndarray, name: str) -> Tensor:
    """Labels (N,) int64 from numbers of any shape; `UserError` for fractions, NaN, and what 64 bits do not tell apart.

    Floating point numbers are taken where they are whole and small enough to be exact; truth values are no numbers.
    """
    array = values.detach().cpu() if isinstance(values, Tensor) else values
    if isinstance(array, Tensor):
        array = array.float().numpy() if array.dtype == torch.bfloat16 else array.numpy()
    array = array.reshape(-1)
    if array.dtype.kind == "b":
        raise UserError(f"{name} are true and false, not numbers; save whole numbers, such as int64")
    if array.dtype.kind == "f":
        with np.errstate(invalid="ignore"):
            whole = np.isfinite(array) & (array == np.trunc(array))
        if not whole.all():
            raise UserError(f"{name} must be whole numbers; row {int((~whole).argmax())} is {array[(~whole).argmax()]}")
        if array.size and np.abs(array).max() >= EXACT.get(str(values.dtype), EXACT_DOUBLE):
            raise UserError(f"{name} are {values.dtype} numbers too large to be exact; save them as int64")
    elif array.dtype.kind == "u" and array.size and array.max() > LARGEST_INT:
        raise UserError(f"{name} holds {array.max()}, which is too large; whole numbers end at 2^63 - 1")
    return torch.from_numpy(array.astype(np.int64))
