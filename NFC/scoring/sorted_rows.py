"""Rows of numbers in ascending order, each number with its column: what a rank is counted from."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from pose2id.devices import AtOnce

from ..neighbours.tiles import as_bits, less_equal, true_positions

SORTED = AtOnce(cpu=2**20, gpu=2**27)  # numbers
FEW = 8  # where fewer than one number in so many is wanted, the others are taken out before sorting


@dataclass(frozen=True)
class SortedRows:
    """Numbers of a matrix, one row after the other, those of a row in ascending order."""

    keys: Tensor  # (P,) int64, ascending: row, then number as `ordered_bits`, then column
    starts: Tensor  # (B, 1) int64: place of the first key of each row
    shift: int  # bits that hold a column

    def places(self, bits: Tensor) -> Tensor:
        """(B, W) int64: places of the first number of each row that is not below its `bits` (B, W)."""
        rows = torch.arange(len(bits), device=bits.device)[:, None]
        return torch.searchsorted(self.keys, _keys(rows, bits, 0, self.shift))

    def columns(self, places: Tensor) -> Tensor:
        """(P,) int64, of places (P,)."""
        return self.keys[places] & ((1 << self.shift) - 1)


def sorted_rows(values: Tensor, wanted: Tensor, limits: Tensor) -> SortedRows:
    """Of the `wanted` (B, G) values (B, G) at least those up to `limits` (B, 1), which are not negative."""
    shift = (values.shape[1] - 1).bit_length()
    wanted = less_equal(as_bits(values), as_bits(limits)).logical_and_(wanted)
    if FEW * int(wanted.count_nonzero()) < wanted.numel():
        row, col = true_positions(wanted)
        keys = sort_rows(_keys(row, ordered_bits(values[row, col]), col, shift)[None])
    else:
        keys = _all_sorted(values, wanted, shift)
    ordered = SortedRows(keys.flatten(), limits, shift)
    least = torch.full_like(as_bits(limits), torch.iinfo(as_bits(limits).dtype).min)
    return replace(ordered, starts=ordered.places(least))


def _all_sorted(values: Tensor, wanted: Tensor, shift: int) -> Tensor:
    """(B, G) int64 ascending: the keys of all values, those that are not `wanted` behind infinity."""
    row, col = (torch.arange(size, device=values.device) for size in values.shape)
    keys = torch.empty_like(values, dtype=torch.int64)
    for rows in row.split(SORTED.rows(values.shape[1], values.device)):
        part = slice(int(rows[0]), int(rows[-1]) + 1)
        bits = ordered_bits(values[part])
        bits.masked_fill_(wanted[part].logical_not(), torch.iinfo(bits.dtype).max)
        keys[part] = sort_rows(_keys(rows[:, None], bits, col, shift))
    return keys


def _keys(row: Tensor, bits: Tensor, col: Tensor | int, shift: int) -> Tensor:
    """int64; bits may be negative."""
    return (bits.long() << shift).add_(row << shift + 8 * bits.itemsize).add_(col)


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
