"""Triton kernels of searches and rankings: they read a block of values once and write only what is wanted of it.

Each equals the plain form that its caller takes where Triton does not run (`pose2id.devices.runs_triton`).
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

ROWS, COLUMNS = 16, 256  # of a tile
PAIRS, NUMBERS = 8, 128  # of a tile of differences
ROOM = 2**22  # pairs for which there is room before they are counted


def select_pairs(values: Tensor, row_limits: Tensor, col_limits: Tensor | None, sign: int = 1) -> tuple[Tensor, Tensor]:
    """As `tiles.pairs_at_most`, or with sign -1 `tiles.pairs_at_least`."""
    rows, cols = values.shape
    grid = triton.cdiv(rows, ROWS), triton.cdiv(cols, COLUMNS)
    both = col_limits is not None
    limits = row_limits, col_limits if both else row_limits
    tile = {"BOTH": both, "SIGN": sign, "ROWS": ROWS, "COLUMNS": COLUMNS}
    room = min(ROOM, values.numel())
    while True:
        count, found = values.new_zeros((), dtype=torch.int32), values.new_empty(room, dtype=torch.int64)
        with torch.cuda.device_of(values):
            _select[grid](values, *limits, count, found, rows, cols, room, **tile)
        if (number := int(count)) <= room:
            found = found[:number]
            row = found // cols
            return row, found - row * cols
        room = number


def pair_distances(a: Tensor, b: Tensor, rows: Tensor, cols: Tensor) -> Tensor:
    """As `distances.pair_distances` in float64, unscaled."""
    result = torch.empty(len(rows), dtype=torch.float64, device=a.device)
    if len(rows):
        grid = (triton.cdiv(len(rows), PAIRS),)
        ends = a.contiguous(), b.contiguous(), rows.contiguous(), cols.contiguous()
        with torch.cuda.device_of(a):
            _distances[grid](*ends, result, len(rows), DIM=a.shape[1], PAIRS=PAIRS, NUMBERS=NUMBERS)
    return result


@triton.jit
def append(found, count, room, places, wanted):
    """Put the wanted of `places` behind the `count` that are there already, as far as there is room."""
    number = tl.sum(wanted.to(tl.int32), 0)
    if number > 0:
        start = tl.atomic_add(count, number)
        offset = start + tl.cumsum(wanted.to(tl.int32), 0) - 1
        tl.store(found + offset, places, mask=wanted & (offset < room))


@triton.jit
def _select(
    values,
    row_limits,
    col_limits,
    count,
    found,
    rows,
    cols,
    room,
    BOTH: tl.constexpr,
    SIGN: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """The tile of block of rows 0 and of columns 1."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    col = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    place = row.to(tl.int64)[:, None] * cols + col[None, :]
    there = (row < rows)[:, None] & (col < cols)[None, :]
    value = SIGN * tl.load(values + place, mask=there, other=0).to(tl.float32)
    wanted = value <= SIGN * tl.load(row_limits + row, mask=row < rows, other=0).to(tl.float32)[:, None]
    if BOTH:
        wanted |= value <= SIGN * tl.load(col_limits + col, mask=col < cols, other=0).to(tl.float32)[None, :]
    size: tl.constexpr = ROWS * COLUMNS
    append(found, count, room, tl.reshape(place, [size]), tl.reshape(wanted & there, [size]))


@triton.jit
def _distances(a, b, rows, cols, result, pairs, DIM: tl.constexpr, PAIRS: tl.constexpr, NUMBERS: tl.constexpr):
    """Block of pairs 0: all of them are summed in the same order, so equal rows are equally far."""
    pair = tl.program_id(0).to(tl.int64) * PAIRS + tl.arange(0, PAIRS)
    there = pair < pairs
    first = tl.load(rows + pair, mask=there, other=0)[:, None] * DIM
    second = tl.load(cols + pair, mask=there, other=0)[:, None] * DIM
    total = tl.zeros([PAIRS, NUMBERS], tl.float64)
    for start in range(0, DIM, NUMBERS):
        number = start + tl.arange(0, NUMBERS)[None, :]
        known = there[:, None] & (number < DIM)
        ahead = tl.load(a + first + number, mask=known, other=0).to(tl.float64)
        difference = ahead - tl.load(b + second + number, mask=known, other=0).to(tl.float64)
        total += difference * difference
    tl.store(result + pair, tl.sum(total, 1), mask=there)
