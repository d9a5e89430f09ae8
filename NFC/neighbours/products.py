"""Half squared distances by matrix products, in a chosen precision and with a proven bound on their error.

A point a is centred, p = a - c, rounded to the precision's dtype and packed with S = |p|^2 / 2, so that one product
gives |a - b|^2 / 2 = S_a + S_b - p_a p_b. The stored product v differs from the true half squared distance by at most
e_a + e_b + `Precision.result` * |v|, with e from `Packed.error`.
"""

import math
import time
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from pose2id.arrays import compute_dtype, unit_scale

PIECES = 3  # S is the sum of three numbers of the dtype, so bfloat16 holds it to 24 bits
ALIGNMENT = 8  # columns of a packed matrix are a multiple of this
CENTRE_SAMPLE = 256
PACKED_AT_ONCE = 2**18  # numbers
ADDED_AT_ONCE = {"cpu": 1024}  # columns of sums that are added up while they are in the cache
PROBE, PROBES = 256, 25  # size of the products that measure speed, and how many of them


@dataclass(frozen=True)
class Precision:
    """A dtype and the rounding of its products; for bfloat16, whose units round less carefully, twice the IEEE one."""

    dtype: torch.dtype
    integer: torch.dtype  # of the same width: non-negative floats sort as their bits do
    accumulator: float  # relative rounding of one addition inside a product
    depth: int  # columns of one product; the sums of more are added up afterwards, which rounds less
    result: float  # relative rounding when the sum is stored


BFLOAT16 = Precision(torch.bfloat16, torch.int16, accumulator=2**-23, depth=2**30, result=2**-8)
FLOAT32 = Precision(torch.float32, torch.int32, accumulator=2**-24, depth=128, result=0.0)
FLOAT64 = Precision(torch.float64, torch.int64, accumulator=2**-52, depth=2**30, result=0.0)


def ladder(device: torch.device) -> list[Precision]:
    """Precisions from the fastest to the most precise. GPUs may add partial bfloat16 sums in bfloat16: not for them."""
    fast_bfloat16 = device.type == "cpu" and _bfloat16_is_fast(torch.get_num_threads())
    return [BFLOAT16, FLOAT32, FLOAT64] if fast_bfloat16 else [FLOAT32, FLOAT64]


@cache
def _bfloat16_is_fast(threads: int) -> bool:
    """Whether products of this CPU run clearly faster in bfloat16, measured once."""

    matrices = {dtype: torch.ones(PROBE, PROBE, dtype=dtype) for dtype in (torch.bfloat16, torch.float32)}
    seconds = dict.fromkeys(matrices, math.inf)
    for _ in range(PROBES):  # taking turns, so that other work on the machine slows both
        for dtype, matrix in matrices.items():
            start = time.perf_counter()
            matrix @ matrix
            seconds[dtype] = min(seconds[dtype], time.perf_counter() - start)
    return seconds[torch.bfloat16] < 0.7 * seconds[torch.float32]


@dataclass(frozen=True)
class Frame:
    """The origin and unit in which points are packed. Distances are those of `scale` * points."""

    scale: float
    centre: Tensor  # (d,) float32 or float64, already scaled

    @classmethod
    def around(cls, *points: Tensor) -> "Frame":
        """A frame near the middle of `points` (N, d): the median of a sample, which outliers do not move."""
        scale = unit_scale(*points)
        sample = torch.cat([p[:: len(p) // CENTRE_SAMPLE + 1] for p in points])
        return cls(scale, sample.to(compute_dtype(sample)).mul(scale).median(0).values)


@dataclass(frozen=True)
class Packed:
    """Points as the right operand [p, S1, S2, S3, 1, 1, 1, 0...] of a product."""

    matrix: Tensor  # (N, K) in the precision's dtype
    half_squares: Tensor  # (N,) float64: S
    loss: float  # largest |rounded p - p| / |p| of a row
    dim: int
    precision: Precision

    def __len__(self) -> int:
        return len(self.matrix)

    def as_left(self, rows: slice = slice(None), less: Tensor | None = None) -> Tensor:
        """(R, K) of these rows: [-p, 1, 1, 1, S1, S2, S3, 0...]; with `less` (R,) float64 products are so much less."""
        left = self.matrix[rows].clone()
        left[:, : self.dim].neg_()
        ones, squares = (slice(self.dim + i * PIECES, self.dim + (i + 1) * PIECES) for i in (0, 1))
        left[:, ones] = self.matrix[rows, squares]
        left[:, squares] = self.matrix[rows, ones] if less is None else _pieces(self.half_squares[rows] - less, left)
        return left

    def error(self, other: "Packed") -> Tensor:
        """(N,) float64: what each point adds to the error of a product with `other`."""
        width = self.matrix.shape[1]
        relative = (1 + self.loss) * (1 + other.loss) - 1 + self.rounding()
        return self.half_squares * relative + 8 * width * torch.finfo(self.precision.dtype).tiny

    def rounding(self) -> float:
        """The relative error of sums in a product."""
        width = self.matrix.shape[1]
        additions = min(width, self.precision.depth) + width // self.precision.depth + 32
        lowered = self.precision is FLOAT32 and torch.get_float32_matmul_precision() != "highest"
        return 2 * additions * self.precision.accumulator + (2**-6 if lowered else 0)  # TF32 or bfloat16 inside float32


def pack(points: Tensor, frame: Frame, precision: Precision) -> Packed:
    """points: (N, d) floating, of any dtype."""
    count, dim = points.shape
    width = -(-(dim + 2 * PIECES) // ALIGNMENT) * ALIGNMENT
    matrix = points.new_empty((count, width), dtype=precision.dtype)
    matrix[:, dim + PIECES : dim + 2 * PIECES] = 1
    matrix[:, dim + 2 * PIECES :] = 0
    half_squares = torch.empty(count, dtype=torch.float64, device=points.device)
    lost = torch.empty_like(half_squares)
    working = torch.promote_types(compute_dtype(points), precision.dtype)
    for rows in torch.arange(count).split(max(1, PACKED_AT_ONCE // dim)):  # few at a time stay in the cache
        rows = slice(int(rows[0]), int(rows[-1]) + 1)
        centred = points[rows].to(working).mul(frame.scale).sub_(frame.centre)
        matrix[rows, :dim] = centred
        half_squares[rows] = _squares(centred) / 2
        lost[rows] = _squares(centred.sub_(matrix[rows, :dim])) / 2
    matrix[:, dim : dim + PIECES] = _pieces(half_squares, matrix)
    loss = float((lost / half_squares).nan_to_num_(nan=0.0).max().sqrt())
    return Packed(matrix, half_squares, loss, dim, precision)


def _pieces(values: Tensor, like: Tensor) -> Tensor:
    """(N, PIECES) of the dtype of `like`, whose rows sum to `values` (N,) float64."""
    pieces = like.new_empty(len(values), PIECES)
    for piece in pieces.unbind(1):
        piece.copy_(values)
        values = values - piece
    return pieces


def _squares(points: Tensor) -> Tensor:
    """(N,) float64: squared lengths."""
    precise = points.double()
    return torch.linalg.vecdot(precise, precise)


def half_distances(left: Tensor, right: Packed) -> Tensor:
    """left: (B, K) from `Packed.as_left`. Returns (B, N) in the precision's dtype; may fall slightly below zero."""
    depth, width = right.precision.depth, left.shape[1]
    with torch.autocast(left.device.type, enabled=False):
        if width <= depth:
            return left @ right.matrix.T
        result = left.new_empty(len(left), len(right))
        columns = ADDED_AT_ONCE.get(left.device.type, len(right))
        for part, packed in zip(result.split(columns, dim=1), right.matrix.split(columns), strict=True):
            torch.mm(left[:, :depth], packed[:, :depth].T, out=part)
            for start in range(depth, width, depth):
                part += left[:, start : start + depth] @ packed[:, start : start + depth].T
    return result


def bits_above(bound: Tensor, precision: Precision) -> Tensor:
    """Integers that the bits of no number of the dtype up to `bound` exceed; negative numbers have negative bits."""
    return bound.clamp(min=0).to(precision.dtype).view(precision.integer) + 1


def bits_below(bound: Tensor, precision: Precision) -> Tensor:
    """Integers that only the bits of numbers of the dtype up to `bound`, if they are not negative, do not exceed."""
    bits = bound.clamp(min=0).to(precision.dtype).view(precision.integer) - 1
    return bits.masked_fill_(bound < 0, -1)


def ordered_bits(values: Tensor, precision: Precision) -> Tensor:
    """Integers that sort as `values` do, which may be negative."""
    bits = values.view(precision.integer)
    return bits ^ (bits >> (8 * bits.itemsize - 1)).bitwise_and_(torch.iinfo(precision.integer).max)


def places(mask: Tensor) -> tuple[Tensor, Tensor]:
    """Rows and columns of the few true entries of (R, C) bool, which are read eight at a time."""
    flat = mask.flatten()
    even = len(flat) // 8 * 8
    words = flat[:even].view(torch.int64).nonzero()[:, 0]
    hit, byte = flat[:even].view(-1, 8)[words].nonzero(as_tuple=True)
    place = torch.cat([words[hit] * 8 + byte, flat[even:].nonzero()[:, 0] + even])
    row = place // mask.shape[1]
    return row, place - row * mask.shape[1]
