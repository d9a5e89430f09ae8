"""The value that travels from extraction or files to scores: features of a split, with their labels."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from pose2id.errors import UserError

from .kinds import Features, Layout, VectorFeatures, unflatten

SPLITS = ("query", "gallery")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FeatureSet:
    """N samples of a split: features of one kind, pids and camids (N,) int64, those of M generated pictures or None.

    Features that are only to be centralized may have no labels: pids and camids are None. A plain tensor stands for
    vectors: feats (N, d), generated (N, M, d).
    """

    feats: Features
    pids: Tensor | None
    camids: Tensor | None
    generated: Features | None = None

    def __post_init__(self) -> None:
        for name in ("feats", "generated"):
            if isinstance(values := getattr(self, name), Tensor):
                object.__setattr__(self, name, VectorFeatures(values))

    @classmethod
    def of(
        cls,
        feats: Tensor,
        pids: Tensor | None,
        camids: Tensor | None,
        generated: Tensor | None,
        layout: Layout,
        name: str,
    ) -> "FeatureSet":
        """From flat features (N, D) and (N, M, D) of `layout`.

        `UserError`, starting with `name`, for no samples, shapes that do not match, NaN or infinity. Rows that are all
        zero, and so like nothing, are told in a logged line.
        """
        if feats.ndim != 2 or feats.numel() == 0:
            raise UserError(f"{name}: feats must be (N, d) and not empty, got {tuple(feats.shape)}")
        count, size = feats.shape
        for labels, kind in ((pids, "pids"), (camids, "camids")):
            if labels is not None and labels.shape != (count,):
                raise UserError(f"{name}: {count} features but {len(labels)} {kind}; every row needs one")
        _check_finite(feats, f"{name}: feats")
        _tell_zeros(feats, name)
        if generated is not None:
            shape = tuple(generated.shape)
            if len(shape) != 3 or shape[1] == 0 or (shape[0], shape[2]) != (count, size):
                raise UserError(f"{name}: generated must be ({count}, M, {size}) for these features, got {shape}")
            _check_finite(generated, f"{name}: generated")
        extra = None if generated is None else unflatten(generated, layout)
        return cls(unflatten(feats, layout), pids, camids, extra)

    def __len__(self) -> int:
        return len(self.feats)

    def __getitem__(self, index: Tensor) -> "FeatureSet":
        """The samples at `index`, (n,) int64 or bool (N,)."""
        return self._apply(lambda part: part[index])

    def to(self, device: torch.device) -> "FeatureSet":
        return self._apply(lambda part: part.to(device))

    def _apply(self, change: Callable[[Tensor | Features], Tensor | Features]) -> "FeatureSet":
        values = (self.feats, self.pids, self.camids, self.generated)
        return FeatureSet(*(None if value is None else change(value) for value in values))


def _tell_zeros(feats: Tensor, name: str) -> None:
    """Log a line for rows (N, D) that are all zero."""
    zero = (~feats.any(1)).nonzero()[:, 0]
    if len(zero):
        counts = f"{len(zero)} of {len(feats)}"
        logger.warning("%s: %s rows are all zero, the first is row %d; they resemble nothing", name, counts, zero[0])


def _check_finite(feats: Tensor, name: str) -> None:
    """feats: (N, ...); `UserError` with the number of rows that are not finite, and the first of them."""
    bad = (~feats.flatten(1).isfinite().all(1)).nonzero()[:, 0]
    if len(bad):
        raise UserError(f"{name}: {len(bad)} of {len(feats)} rows hold NaN or infinity, the first is row {bad[0]}")
