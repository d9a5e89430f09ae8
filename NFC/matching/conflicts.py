"""Which patterns go together on one person, and how much the union of two sets contradicts that (MoS).

The penalty is that of MoS, with its sign mended: the seed prints (M - M^p)^(-eps), which no negative base has. Ours:
M^p in closed form, one scale for all features so that the exponential means the same everywhere, and the bound.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from pose2id.arrays import as_labels
from pose2id.devices import AtOnce
from pose2id.errors import UserError
from pose2id.reading.safetensors_files import read_safetensors, write_safetensors_file

from ..features.kinds import SetFeatures

BLOCK = AtOnce(cpu=2**22, gpu=2**26)  # entries of matrices
MOST = 1e6  # a penalty counts as at most this, so that no sum is infinite
BRIGHT = 0.999  # quantile of the positive training values that becomes 1
NUMBERS = ("scale", "eps", "lambda_value")


@dataclass(frozen=True)
class Conflicts:
    """cooccurrence: (C, C) float, M^p: the largest product of two patterns on pictures of one person.

    Features are divided by `scale` before they are multiplied; eps: how much more than M^p is no conflict yet;
    lambda_value: weight of the penalty beside 1 - J. All belong to one network.
    """

    cooccurrence: Tensor
    scale: float = 1.0
    eps: float = 0.05
    lambda_value: float = 0.0

    @cached_property
    def allowed(self) -> Tensor:
        """(C, C) float64: products up to this are no conflict."""
        return self.cooccurrence.double() + self.eps

    @cached_property
    def least(self) -> Tensor:
        """(C,): of each pattern, the smallest product that any other allows."""
        return self.allowed.amin(1)

    def to(self, device: torch.device) -> "Conflicts":
        return replace(self, cooccurrence=self.cooccurrence.to(device))

    @torch.no_grad()
    def penalty(self, a: Tensor, b: Tensor) -> Tensor:
        """(P, C) twice -> (P,) float64: sum of max(0, exp(u_i u_j - M^p_ij - eps) - 1), u the larger of a and b.

        Patterns that are too weak to conflict with any other are left out first, which changes nothing.
        """
        union = torch.maximum(a, b).double() / self.scale
        strong = ((union * union.amax(1, keepdim=True)) > self.least).any(0).nonzero()[:, 0]
        union, allowed = union[:, strong], self.allowed[strong][:, strong]
        total = union.new_zeros(len(union))
        if len(strong):
            size = BLOCK.rows(len(strong) ** 2, union.device)
            for start in range(0, len(union), size):
                part = union[start : start + size]
                excess = (part[:, :, None] * part[:, None]).sub_(allowed)
                total[start : start + size] = excess.clamp_(min=0).expm1_().sum((1, 2))
        return total.clamp_(max=MOST)


@torch.no_grad()
def conflicts_of(
    features: Tensor, pids: object, eps: float = 0.05, lambda_value: float = 0.0, scale: float | None = None
) -> Conflicts:
    """Learn M^p from training sets (N, C), at least 0, and their pids (N,).

    M^p = max over people of G G^T, G being the elementwise maximum of all pictures of a person: of any two patterns the
    pictures that show them most make a pair, and no product exceeds theirs. It costs people * C^2. scale: by default
    the 99.9 % quantile of the positive values. Raises `UserError` for numbers that cannot be.
    """
    values = SetFeatures(features).check("training features").values.float()
    labels = as_labels(pids, "pids", len(values), values.device)
    if not (0 <= eps < float("inf") and 0 <= lambda_value < float("inf")):
        raise UserError(f"eps and lambda must be at least 0 and finite, got {eps} and {lambda_value}")
    if not (positive := values[values > 0].sort().values).numel():
        raise UserError("the training features are all zero; nothing can be learned from them")
    scale = float(positive[int(BRIGHT * (len(positive) - 1))]) if scale is None else scale
    people, person = labels.unique(return_inverse=True)
    index = person[:, None].expand_as(values)
    largest = values.new_zeros(len(people), values.shape[1]).scatter_reduce_(0, index, values / scale, "amax")
    result = values.new_zeros(values.shape[1], values.shape[1])
    for row in largest:
        torch.maximum(result, row[:, None] * row, out=result)
    return Conflicts(result, scale, eps, lambda_value)


def write_conflicts(conflicts: Conflicts, path: Path) -> None:
    """Write a safetensors file: `cooccurrence` (C, C) float32 and three numbers."""
    numbers = {name: torch.tensor(getattr(conflicts, name), dtype=torch.float64) for name in NUMBERS}
    write_safetensors_file({"cooccurrence": conflicts.cooccurrence, **numbers}, path)


def read_conflicts(path: Path, channels: int) -> Conflicts:
    """What `write_conflicts` wrote; `UserError` for another file, or one of sets with other `channels`."""
    held = read_safetensors(path, "file of conflicts", "write it again with `pose2id conflicts`")
    if lacking := {"cooccurrence", *NUMBERS} - held.keys():
        raise UserError(f"{path} lacks {min(lacking)}; write it with `pose2id conflicts`")
    if held["cooccurrence"].shape != (channels, channels):
        shape = tuple(held["cooccurrence"].shape)
        raise UserError(f"{path} is of sets of {shape[0] if shape else 0} numbers, these have {channels}")
    return Conflicts(held["cooccurrence"], *(float(held[name]) for name in NUMBERS))
