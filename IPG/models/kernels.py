"""The Triton kernels behind `group_norm` and `geglu`; both compute in float32.

A norm takes the moments of slices of the pixels, then normalises with them. A program works on tiles (pixels, groups,
channels of a group) of one picture. Moments are merged as means and sums of squared deviations (Chan et al. 1979),
which loses nothing where the mean is large.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

TILE = 4096  # elements of a tile
RUN = 64  # channels that lie side by side in it, where there are as many
SLICES = 32  # of a picture's pixels, at most


def group_norm_kernel(
    x: Tensor, weight: Tensor, bias: Tensor, groups: int, eps: float, silu: bool, shift: Tensor | None
) -> Tensor:
    """As `group_norm.plain_group_norm`, of a channels-last x: two launches, which read it twice and write it once."""
    batch, channels, height, width = x.shape
    pixels, each = height * width, channels // groups
    padded = triton.next_power_of_2(each)
    side_by_side = min(max(1, RUN // padded), triton.next_power_of_2(groups))
    rows = min(max(1, TILE // (side_by_side * padded)), triton.next_power_of_2(pixels))
    length = triton.cdiv(triton.cdiv(pixels, SLICES), rows) * rows
    slices, blocks = triton.cdiv(pixels, length), triton.cdiv(groups, side_by_side)
    moments = torch.empty(batch, slices, 2, groups, dtype=torch.float32, device=x.device)
    normed = torch.empty_like(x)
    sizes = {"pixels": pixels, "LENGTH": length, "CHANNELS": channels, "GROUPS": groups, "SHIFTED": shift is not None}
    tile = {"ROWS": rows, "SIDE_BY_SIDE": side_by_side, "PADDED": padded}
    shift = x if shift is None else shift.contiguous()  # x: a pointer that is not read
    _moments[(batch, blocks, slices)](x, shift, moments, **sizes, **tile)
    parts = {"SLICES": slices, "SLICES_PADDED": triton.next_power_of_2(slices)}
    grid = batch, blocks, triton.cdiv(pixels, rows)
    _normalise[grid](x, shift, weight, bias, moments, normed, eps, **sizes, **tile, **parts, SILU=silu)
    return normed


@triton.jit
def _load(
    x,
    shift,
    start,
    end,
    pixels,
    CHANNELS: tl.constexpr,
    GROUPS: tl.constexpr,
    SHIFTED: tl.constexpr,
    ROWS: tl.constexpr,
    SIDE_BY_SIDE: tl.constexpr,
    PADDED: tl.constexpr,
):
    """The tile of pixels from `start`, before `end`: values, offsets, channels, and which there are."""
    picture = tl.program_id(0).to(tl.int64)
    pixel = start + tl.arange(0, ROWS)[:, None, None]
    group = tl.program_id(1) * SIDE_BY_SIDE + tl.arange(0, SIDE_BY_SIDE)[None, :, None]
    within = tl.arange(0, PADDED)[None, None, :]
    channel = group * (CHANNELS // GROUPS) + within
    there = (group < GROUPS) & (within < CHANNELS // GROUPS) & (pixel < end)
    offsets = (picture * pixels + pixel) * CHANNELS + channel
    values = tl.load(x + offsets, mask=there, other=0).to(tl.float32)
    if SHIFTED:
        values += tl.load(shift + picture * CHANNELS + channel, mask=there, other=0).to(tl.float32)
    return values, offsets, channel, there


@triton.jit
def _moments(
    x,
    shift,
    moments,
    pixels,
    LENGTH: tl.constexpr,
    CHANNELS: tl.constexpr,
    GROUPS: tl.constexpr,
    SHIFTED: tl.constexpr,
    ROWS: tl.constexpr,
    SIDE_BY_SIDE: tl.constexpr,
    PADDED: tl.constexpr,
):
    """Of picture 0, block of groups 1, slice 2: mean and sum of squared deviations, into (picture, slice, 2, group)."""
    first = tl.program_id(2) * LENGTH
    end = tl.minimum(first + LENGTH, pixels)
    mean = tl.zeros([SIDE_BY_SIDE], tl.float32)
    deviation = tl.zeros([SIDE_BY_SIDE], tl.float32)
    for passed in range(0, LENGTH, ROWS):
        start = first + passed
        values, _, _, there = _load(x, shift, start, end, pixels, CHANNELS, GROUPS, SHIFTED, ROWS, SIDE_BY_SIDE, PADDED)
        before = passed * 1.0 * (CHANNELS // GROUPS)
        new = tl.maximum(0, tl.minimum(ROWS, end - start)) * 1.0 * (CHANNELS // GROUPS)
        tile_mean = tl.sum(tl.sum(values, 2), 0) / tl.maximum(new, 1.0)
        centred = tl.where(there, values - tile_mean[None, :, None], 0.0)
        apart = tile_mean - mean
        deviation += tl.sum(tl.sum(centred * centred, 2), 0) + apart * apart * (before * new / (before + new))
        mean += apart * (new / (before + new))
    group = tl.program_id(1) * SIDE_BY_SIDE + tl.arange(0, SIDE_BY_SIDE)
    place = moments + (tl.program_id(0) * tl.num_programs(2) + tl.program_id(2)) * 2 * GROUPS + group
    tl.store(place, mean, mask=group < GROUPS)
    tl.store(place + GROUPS, deviation, mask=group < GROUPS)


@triton.jit
def _normalise(
    x,
    shift,
    weight,
    bias,
    moments,
    normed,
    eps,
    pixels,
    LENGTH: tl.constexpr,
    CHANNELS: tl.constexpr,
    GROUPS: tl.constexpr,
    SHIFTED: tl.constexpr,
    ROWS: tl.constexpr,
    SIDE_BY_SIDE: tl.constexpr,
    PADDED: tl.constexpr,
    SLICES: tl.constexpr,
    SLICES_PADDED: tl.constexpr,
    SILU: tl.constexpr,
):
    """Of picture 0, block of groups 1, tile 2: with the moments of all slices."""
    part = tl.arange(0, SLICES_PADDED)[:, None]
    group = tl.program_id(1) * SIDE_BY_SIDE + tl.arange(0, SIDE_BY_SIDE)[None, :]
    place = moments + (tl.program_id(0) * SLICES + part) * 2 * GROUPS + group
    known = (part < SLICES) & (group < GROUPS)
    means = tl.load(place, mask=known, other=0)
    counts = tl.where(known, tl.minimum(LENGTH, pixels - part * LENGTH), 0).to(tl.float32) / pixels
    mean = tl.sum(counts * means, 0)
    apart = means - mean[None, :]
    deviation = tl.sum(tl.load(place + GROUPS, mask=known, other=0), 0) / (pixels * (CHANNELS // GROUPS))
    scale = tl.rsqrt(deviation + tl.sum(counts * apart * apart, 0) + eps)

    values, offsets, channel, there = _load(
        x, shift, tl.program_id(2) * ROWS, pixels, pixels, CHANNELS, GROUPS, SHIFTED, ROWS, SIDE_BY_SIDE, PADDED
    )
    gain = tl.load(weight + channel, mask=there, other=0).to(tl.float32)
    offset = tl.load(bias + channel, mask=there, other=0).to(tl.float32)
    values = (values - mean[None, :, None]) * scale[None, :, None] * gain + offset
    if SILU:
        values = values * tl.sigmoid(values)
    tl.store(normed + offsets, values.to(normed.dtype.element_ty), mask=there)


GATE_ROWS, GATE_COLUMNS = 8, 256  # of a tile


def geglu_kernel(both: Tensor) -> Tensor:
    """As `geglu.plain_geglu`."""
    both = both.contiguous()
    columns = both.shape[-1] // 2
    gated = both.new_empty(*both.shape[:-1], columns)
    rows = gated.numel() // columns
    _geglu[triton.cdiv(rows, GATE_ROWS), triton.cdiv(columns, GATE_COLUMNS)](
        both, gated, rows, columns, ROWS=GATE_ROWS, COLUMNS=GATE_COLUMNS
    )
    return gated


@triton.jit
def _geglu(both, gated, rows, columns, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """The tile of block of rows 0 and of columns 1."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)[:, None]
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    there = (row < rows) & (column < columns)
    place = both + row * 2 * columns + column
    values = tl.load(place, mask=there, other=0).to(tl.float32)
    gates = tl.load(place + columns, mask=there, other=0).to(tl.float32)
    values *= 0.5 * gates * (1 + tl.erf(gates * 0.7071067811865476))
    tl.store(gated + row * columns + column, values.to(gated.dtype.element_ty), mask=there)
