"""What every kind of features offers: how its members are compared, summed and normalised.

Centralization (`NFC.steps`), identity density and matching are written once, over this.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from functools import reduce
from typing import Any, ClassVar, Literal, Self, cast

import torch
from torch import Tensor

from .layout import Layout

Reduction = Literal["sum", "mean"]


class Features(ABC):
    """Features of N samples, (N, ...) tensors side by side; generated pictures have (N, M, ...) of them.

    A kind is a frozen dataclass whose fields are tensors with the same leading axes.
    """

    kind: ClassVar[str]  # key of `KINDS`
    matcher: ClassVar[str]  # key of `MATCHERS`: how members are compared when no other matcher is named
    example: ClassVar[tuple[int, tuple[int, ...]]]  # numbers of a small flat member, and its sizes, for tests

    @classmethod
    @abstractmethod
    def unflatten(cls, flat: Tensor, *sizes: int) -> Self:
        """What `flatten` made, (..., D), apart again; `UserError` when it cannot have these `sizes`."""

    @abstractmethod
    def flatten(self) -> Tensor:
        """(..., D): all numbers of a sample in one row, as networks give them and files hold them."""

    @abstractmethod
    def as_vectors(self) -> Tensor:
        """(..., D'): of which Euclidean distances tell about what the kind's own do, for plots and shortlists."""

    @property
    @abstractmethod
    def layout(self) -> Layout:
        """Which kind, and the sizes that `unflatten` needs."""

    @abstractmethod
    def check(self, name: str, axes: int = 1) -> Self:
        """Itself; `UserError` with `name` unless there are `axes` leading axes and all numbers are usable."""

    @abstractmethod
    def normalized(self) -> Self:
        """Of unit length, as they are compared."""

    @abstractmethod
    def fuse(self, generated: Self, eta: float, reduction: Reduction) -> Self:
        """f + eta * sum (or mean) over the M generated pictures (N, M, ...), not normalised."""

    @abstractmethod
    def nearest(self, k: int, approximate: bool = False) -> Tensor:
        """(N, min(k, N - 1)) int64: the nearest other samples, nearest first, -1 where there are none."""

    @abstractmethod
    def sums(self, members: Tensor) -> Self:
        """(N, K) int64, -1 for none, the first of a row always given: each row's members summed, in that order."""

    @abstractmethod
    def densities(self, identity: Tensor) -> Tensor:
        """(N,) squared distances to the centre of the sample's identity; identity (N,) int64 counts from 0."""

    def __len__(self) -> int:
        return len(self._tensors[0])

    def __getitem__(self, rows: Any) -> Self:
        """Some samples: a slice, a mask or indices of the leading axes."""
        return self._apply(lambda tensor: tensor[rows])

    def to(self, device: torch.device | str) -> Self:
        return self._apply(lambda tensor: tensor.to(device))

    def split(self, size: int) -> list[Self]:
        """Parts of `size` samples, in order."""
        return [self[start : start + size] for start in range(0, len(self), size)]

    @classmethod
    def cat(cls, parts: Sequence[Self]) -> Self:
        """The samples of all parts, in order."""
        return cls(*(torch.cat(tensors) for tensors in zip(*(part._tensors for part in parts), strict=True)))

    @property
    def size(self) -> int:
        """How many numbers a sample has when it is flat."""
        return self[:1].flatten().shape[-1]

    @property
    def device(self) -> torch.device:
        return self._tensors[0].device

    @property
    def _tensors(self) -> tuple[Tensor, ...]:
        return tuple(getattr(self, field.name) for field in fields(cast(Any, self)))

    def _apply(self, change: Callable[[Tensor], Tensor]) -> Self:
        return type(self)(*map(change, self._tensors))


def sum_in_order(terms: Iterable[Tensor]) -> Tensor:
    """The sum of tensors, added one after the other: the same bits on every device."""
    return reduce(torch.add, terms)
