"""What users hand in, checked once: NumPy arrays or torch tensors become tensors, and go back as they came."""

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from .errors import UserError

HARMLESS_EXPONENT = 8  # a length of 2^8 times the root of d is far from overflow in any type

Array = np.ndarray | Tensor


def as_tensor(values: Array, name: str) -> Tensor:
    """A tensor over `values` (no copy where possible); anything but an array or tensor raises `UserError`."""
    if isinstance(values, Tensor):
        return values
    if isinstance(values, np.ndarray) and values.dtype.kind in "fiub":
        return torch.from_numpy(np.require(values, requirements=["C", "W"]))
    raise UserError(f"{name} must be a NumPy array or torch tensor of numbers, got {describe(values)}")


def as_features(values: Array, name: str, ndim: int = 2) -> Tensor:
    """`values` as a floating tensor with `ndim` axes, not empty, without NaN or infinity; else `UserError`."""
    feats = as_tensor(values, name)
    if not feats.is_floating_point():
        raise UserError(f"{name} must be floating point, got {feats.dtype}")
    if feats.ndim != ndim:
        raise UserError(f"{name} must have {ndim} axes, got shape {tuple(feats.shape)}")
    if feats.numel() == 0:
        raise UserError(f"{name} is empty: shape {tuple(feats.shape)}")
    if not torch.stack(feats.aminmax()).isfinite().all():  # NaN would be both
        raise UserError(f"{name} holds NaN or infinite values")
    return feats


def as_feature_pair(query: Array, gallery: Array) -> tuple[Tensor, Tensor]:
    """(Q, d) and (G, d) floating tensors of one dtype, on the query's device; else `UserError`."""
    a = as_features(query, "query")
    b = as_features(gallery, "gallery").to(a.device)
    if a.shape[1] != b.shape[1]:
        raise UserError(f"query and gallery features differ in size: {a.shape[1]} and {b.shape[1]}")
    dtype = torch.promote_types(a.dtype, b.dtype)
    return a.to(dtype), b.to(dtype)


def as_labels(values: object, name: str, length: int, device: torch.device | str = "cpu") -> Tensor:
    """`values` (array, tensor or sequence of integers) as an int64 tensor of `length`; else `UserError`."""
    labels = values if isinstance(values, Tensor) else np.asarray(values)
    labels = as_tensor(labels, name)
    if labels.is_floating_point() or labels.is_complex():
        raise UserError(f"{name} must be integers, got {labels.dtype}")
    if labels.shape != (length,):
        raise UserError(f"{name} must have shape ({length},), got {tuple(labels.shape)}")
    return labels.to(device, torch.int64)


def compute_dtype(feats: Tensor) -> torch.dtype:
    """float64 stays float64; float16, bfloat16 and float32 are computed in float32."""
    return torch.float64 if feats.dtype == torch.float64 else torch.float32


def unit_scale(*tensors: Tensor) -> float:
    """A power of two that brings the largest magnitude near 1: squares then neither overflow nor vanish.

    Multiplying by a power of two is exact, so distances keep their order and ties. Magnitudes that are harmless as
    they are, and all zero, give 1.
    """
    largest = max(float(torch.maximum(t.max(), -t.min())) for t in tensors)
    exponent = int(np.frexp(largest)[1])
    return 1.0 if abs(exponent) <= 16 else 2.0 ** float(np.clip(-exponent, -1022, 1022))


def shrunk_rows(values: Tensor) -> Tensor:
    """Rows (..., d) whose largest magnitude lies far from 1 multiplied by a power of two that brings it there.

    Then no square overflows or vanishes, and float32 can hold what float64 held. All other rows are as they were, bit
    for bit, and so is the direction of every row.
    """
    if not values.numel():
        return values
    low, high = values.aminmax(dim=-1, keepdim=True)
    largest = torch.maximum(high, -low)
    exponent = torch.frexp(largest.double()).exponent
    far = (exponent.abs() > HARMLESS_EXPONENT) & largest.isfinite()
    if not far.any():
        return values
    exponent = torch.where(far, -exponent, 0)
    half = exponent.div(2, rounding_mode="trunc")  # in two steps, as the whole power may be beyond the type
    return torch.ldexp(torch.ldexp(values, half), exponent - half).to(values.dtype)


def unit_rows(values: Tensor) -> Tensor:
    """Rows (..., d) of length 1, whatever their magnitude; rows of zeros stay so."""
    return normalize(shrunk_rows(values), dim=-1)


def in_kind(result: Tensor, like: Array) -> Array:
    """`result` as a NumPy array if the user's input `like` was one."""
    return result.numpy() if isinstance(like, np.ndarray) else result


def describe(values: object) -> str:
    return f"dtype {values.dtype}" if isinstance(values, np.ndarray) else type(values).__name__


def equal_pairs(rows: Tensor, columns: Tensor) -> Tensor:
    """(R, C) bool: which of the integers (R,) and (C,) are the same; NumPy compares them faster on a CPU."""
    if rows.device.type != "cpu":
        return rows[:, None] == columns
    return torch.from_numpy(np.equal(rows.numpy()[:, None], columns.numpy()))
