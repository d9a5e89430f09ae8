"""A Triton kernel that ranks: one look at each value of a block of queries instead of a sort."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..neighbours.kernels import append

COLUMNS = 1024  # of a tile, which has one row


def compare_with_matches(
    values: Tensor, wrong: Tensor, below: Tensor, above: Tensor, last: Tensor, room: int
) -> tuple[Tensor, Tensor, Tensor, int]:
    """Compare the wrong values of each row, up to `last`, with intervals around its true matches.

    values: (B, G), wrong: (B, G) bool, below and above: (B, W), ascending, last: (B, 1), one dtype. Returns of each row
    how many values are below an interval and not in or below one before it (B, W) int32, how many are in some interval
    (B,) int32, the places of these in a flat (B, G): (P,) int64, in no order, at most `room` of them, and their number.
    """
    (rows, items), matches = values.shape, below.shape[1]
    nearer, ties = (values.new_zeros(shape, dtype=torch.int32) for shape in ((rows, matches), (rows,)))
    count, found = values.new_zeros((), dtype=torch.int32), values.new_empty(room, dtype=torch.int64)
    read = values, wrong.view(torch.uint8), below.contiguous(), above.contiguous(), last.contiguous()
    sizes = {"items": items, "matches": matches, "room": room}
    steps = matches.bit_length()
    with torch.cuda.device_of(values):
        _compare[rows, triton.cdiv(items, COLUMNS)](
            *read, nearer, ties, count, found, **sizes, STEPS=steps, COLUMNS=COLUMNS
        )
    total = int(count)
    return nearer, ties, found[: min(total, room)], total


@triton.jit
def _passed(limits, value, wanted, matches, EQUAL: tl.constexpr, STEPS: tl.constexpr):
    """How many of the ascending limits are below each value, or at most equal to it; 0 where it is not wanted."""
    passed = (value * 0).to(tl.int32)
    for step in tl.static_range(STEPS):
        ahead = passed + (1 << (STEPS - 1 - step))
        asked = wanted & (ahead <= matches)
        limit = tl.load(limits + ahead - 1, mask=asked, other=0).to(tl.float32)
        reached = limit <= value if EQUAL else limit < value
        passed = tl.where(asked & reached, ahead, passed)
    return passed


@triton.jit
def _compare(
    values,
    wrong,
    below,
    above,
    last,
    nearer,
    ties,
    count,
    found,
    items,
    matches,
    room,
    STEPS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """Row 0, block of columns 1."""
    row = tl.program_id(0).to(tl.int64)
    col = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    place = row * items + col
    value = tl.load(values + place, mask=col < items, other=0).to(tl.float32)
    wanted = (col < items) & (value <= tl.load(last + row).to(tl.float32))
    wanted &= tl.load(wrong + place, mask=wanted, other=0) != 0
    if tl.sum(wanted.to(tl.int32), 0) > 0:
        surely = _passed(below + row * matches, value, wanted, matches, EQUAL=True, STEPS=STEPS)
        perhaps = _passed(above + row * matches, value, wanted, matches, EQUAL=False, STEPS=STEPS)
        tie = wanted & (perhaps < surely)
        tl.atomic_add(nearer + row * matches + surely, 1, mask=wanted & (perhaps >= surely) & (surely < matches))
        tl.atomic_add(ties + row, tl.sum(tie.to(tl.int32), 0))
        append(found, count, room, place, tie)
