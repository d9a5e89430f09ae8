"""Rows of numbers in ascending order, each number with its column: what a rank is counted from."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from ..neighbours.tiles import as_bits


def sorted_with_columns(values: Tensor, wanted: Tensor) -> tuple[Tensor, int]:
    """(B, G) integers in ascending order: the bits of a value, then `shift` bits that hold its column.

    Values that are not `wanted` come behind infinity.
    """
    count = values.shape[1]
    shift = (count - 1).bit_length()
    bits = ordered_bits(values)
    bits.masked_fill_(wanted.logical_not(), torch.iinfo(bits.dtype).max)
    dtype = torch.int32 if bits.dtype == torch.int16 and shift <= 16 else torch.int64
    columns = torch.arange(count, dtype=dtype, device=values.device)
    return sort_rows(bits.to(dtype).bitwise_left_shift_(shift).bitwise_or_(columns)), shift


def places_between(first: Tensor, stop: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Rows, columns and places (P,) of everything in first <= place < stop, (B, W) ascending; each place once a row."""
    start = first.clone()
    start[:, 1:] = start[:, 1:].maximum(stop[:, :-1])
    counts = (stop - start).clamp_(min=0).flatten()
    cell = torch.arange(len(counts), device=counts.device).repeat_interleave(counts)
    place = torch.arange(len(cell), device=counts.device)
    place += (start.flatten() - (counts.cumsum(0) - counts))[cell]
    row = cell // first.shape[1]
    return row, cell - row * first.shape[1], place


def ordered_bits(values: Tensor) -> Tensor:
    """Integers that sort as floats do, negative ones included."""
    bits = as_bits(values)
    return bits ^ (bits >> (8 * bits.itemsize - 1)).bitwise_and_(torch.iinfo(bits.dtype).max)


def sort_rows(values: Tensor) -> Tensor:
    """Sort each row in place; NumPy's vectorised sort is the faster one on a CPU, one part a thread."""
    if values.device.type != "cpu":
        return values.sort(1).values
    parts = np.array_split(values.numpy(), torch.get_num_threads())
    with ThreadPoolExecutor(len(parts)) as pool:
        list(pool.map(lambda part: part.sort(axis=1), parts))
    return values
