"""Half squared distances by matrix products in a chosen precision, with a proven bound on their error.

docs/search.md derives the bounds. Its letters: p is a centred point, S = |p|^2 / 2; points are packed so that one
product gives |a - b|^2 / 2 = S_a + S_b - p_a p_b.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from pose2id.arrays import compute_dtype, unit_scale
from pose2id.devices import AtOnce

PIECES = 3  # S is the sum of three numbers of the dtype, so bfloat16 holds it to 24 bits
TENSOR_CORES = (8, 0)  # compute capability of the first GPUs that multiply bfloat16
ALIGNMENT = 8  # columns of a packed matrix are a multiple of this
CENTRE_SAMPLE = 256
PACKED = AtOnce(cpu=2**16, gpu=2**27)


@dataclass(frozen=True)
class Precision:
    """How products are computed, and the relative rounding errors of that; twice the IEEE one where units differ."""

    dtype: torch.dtype  # of the operands
    stored: torch.dtype  # of the results
    addition: float  # rounding error of one addition inside a product
    storing: float  # rounding error of a stored result


BFLOAT16 = Precision(torch.bfloat16, torch.bfloat16, addition=2**-23, storing=2**-8)
# Of tensor cores, which cut off what they add: four times what one rounded addition loses.
BFLOAT16_ON_GPU = Precision(torch.bfloat16, torch.float32, addition=2**-21, storing=0.0)
FLOAT32 = Precision(torch.float32, torch.float32, addition=2**-24, storing=0.0)
FLOAT64 = Precision(torch.float64, torch.float32, addition=2**-52, storing=2**-24)


def precisions(device: torch.device) -> tuple[Precision, ...]:
    """The precision for all pairs, and those, in turn, for rows that the one before leaves undecided."""
    if device.type == "cuda" and torch.cuda.get_device_capability(device) >= TENSOR_CORES:
        return BFLOAT16_ON_GPU, FLOAT32, FLOAT64
    return (BFLOAT16 if device.type == "cpu" and cpu_multiplies_bfloat16() else FLOAT32), FLOAT64


@cache
def cpu_multiplies_bfloat16() -> bool:
    """Whether this CPU has instructions for bfloat16 products, without which they are slower than float32 ones."""
    path = Path("/proc/cpuinfo")
    words = path.read_text().split() if path.exists() else []
    return torch.backends.mkldnn.is_available() and not {"avx512_bf16", "amx_bf16"}.isdisjoint(words)


@dataclass(frozen=True)
class Centring:
    """The unit and origin in which points are packed. Distances are those of `scale` * points."""

    scale: float
    centre: Tensor  # (d,) float32 or float64, already scaled

    @classmethod
    def of(cls, *points: Tensor) -> "Centring":
        """Of sets (N, d): the median of a sample, which outliers do not move."""
        scale = unit_scale(*points)
        sample = torch.cat([p[:: len(p) // CENTRE_SAMPLE + 1] for p in points])
        return cls(scale, sample.to(compute_dtype(sample)).mul(scale).median(0).values)


@dataclass(frozen=True)
class Packed:
    """Points as one operand [p, S1, S2, S3, 1, 1, 1, 0...] of a product."""

    matrix: Tensor  # (N, K) in the precision's dtype
    half_squares: Tensor  # (N,) float64: S
    rounding: float  # largest |rounded p - p| / |p| of a row
    dim: int
    precision: Precision

    def __len__(self) -> int:
        return len(self.matrix)

    def partner(self, subtracted: Tensor | float = 0.0) -> Tensor:
        """(N, K): these points as the other operand [-p, 1, 1, 1, S1, S2, S3, 0...].

        subtracted: (N,) float64, is taken from all products of a row.
        """
        result = self.matrix.clone()
        result[:, : self.dim].neg_()
        result[:, self.dim : self.dim + PIECES] = 1
        result[:, self.dim + PIECES : self.dim + 2 * PIECES] = _pieces(self.half_squares - subtracted, result)
        return result

    @property
    def summation_error(self) -> float:
        """Relative to the sum of magnitudes in a product."""
        additions = self.matrix.shape[1] + 32
        lowered = self.precision is FLOAT32 and torch.get_float32_matmul_precision() != "highest"
        return 2 * additions * self.precision.addition + (2**-6 if lowered else 0)  # TF32 or bfloat16 inside float32


def error_bounds(rows: Packed, cols: Packed) -> tuple[Tensor, Tensor]:
    """(R,) and (C,) float64: the error of a product before it is stored is at most that of its row and its column."""
    relative = (1 + rows.rounding) * (1 + cols.rounding) - 1 + rows.summation_error
    least = 8 * rows.matrix.shape[1] * torch.finfo(rows.precision.stored).tiny  # where numbers underflow
    return rows.half_squares * relative + least, cols.half_squares * relative + least


def pack(points: Tensor, centring: Centring, precision: Precision) -> Packed:
    """points: (N, d) floating, of any dtype."""
    count, dim = points.shape
    width = -(-(dim + 2 * PIECES) // ALIGNMENT) * ALIGNMENT
    matrix = points.new_empty((count, width), dtype=precision.dtype)
    length, lost = torch.zeros((2, count), dtype=torch.float64, device=points.device)
    working = torch.promote_types(compute_dtype(points), precision.dtype)
    size = PACKED.rows(dim, points.device)
    for rows in (slice(start, start + size) for start in range(0, count, size)):
        centred = torch.add(-centring.centre, points[rows].to(working), alpha=centring.scale)
        matrix[rows, :dim] = centred
        length[rows] = torch.linalg.vector_norm(centred, dim=1, dtype=torch.float64)
        if precision.dtype != working:
            lost[rows] = torch.linalg.vector_norm(centred.sub_(matrix[rows, :dim]), dim=1, dtype=torch.float64)
    half_squares = length.square() / 2
    matrix[:, dim : dim + PIECES] = _pieces(half_squares, matrix)
    matrix[:, dim + PIECES : dim + 2 * PIECES] = 1
    matrix[:, dim + 2 * PIECES :] = 0
    rounding = float((lost / length).nan_to_num_(nan=0.0).max())
    return Packed(matrix, half_squares, rounding, dim, precision)


def multiply(rows: Tensor, cols: Tensor, precision: Precision) -> Tensor:
    """(R, K) and (C, K), one packed and one its partner -> (R, C) half distances, perhaps slightly below zero."""
    with torch.autocast(rows.device.type, enabled=False), _sums_in_float32(rows.device):
        if rows.dtype == torch.bfloat16 and precision.stored == torch.float32:
            if rows.device.type == "cuda":
                return torch.mm(rows, cols.T, out_dtype=torch.float32)
            rows, cols = rows.float(), cols.float()  # a CPU would round the sums to bfloat16
        return (rows @ cols.T).to(precision.stored)


def multiply_pairs(rows: Tensor, cols: Tensor, row: Tensor, col: Tensor) -> Tensor:
    """(R, K) and (C, K) float32, one packed and one its partner, and pairs (P,) -> (P,) half distances of the pairs.

    Where one of the two is too large for a cache it should be `rows`, which are read in order.
    """
    row, order = row.sort()
    starts = torch.searchsorted(row, torch.arange(len(rows) + 1, device=row.device))
    values = rows.new_zeros(len(row))
    with warnings.catch_warnings():  # PyTorch calls its sparse support a beta
        warnings.simplefilter("ignore", UserWarning)
        pairs = torch.sparse_csr_tensor(starts, col[order], values, size=(len(rows), len(cols)))
        values[order] = torch.sparse.sampled_addmm(pairs, rows, cols.T, beta=0).values()
    return values


@contextmanager
def _sums_in_float32(device: torch.device) -> Iterator[None]:
    """A GPU may add partial sums of bfloat16 in bfloat16, for which there is no useful bound: not meanwhile."""
    settings = torch.backends.cuda.matmul
    allowed = settings.allow_bf16_reduced_precision_reduction
    if device.type != "cuda" or not allowed:
        yield
        return
    settings.allow_bf16_reduced_precision_reduction = False
    try:
        yield
    finally:
        settings.allow_bf16_reduced_precision_reduction = allowed


def _pieces(values: Tensor, like: Tensor) -> Tensor:
    """(N, PIECES) of the dtype of `like`, whose rows sum to `values` (N,) float64."""
    pieces = like.new_empty(len(values), PIECES)
    for piece in pieces.unbind(1):
        piece.copy_(values)
        values = values - piece
    return pieces
