"""The value that travels from extraction or files to scores: features of a split, with their labels."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from pose2id.errors import UserError


@dataclass(frozen=True)
class FeatureSet:
    """Raw features of a split. feats (N, d) float32, pids and camids (N,) int64, generated (N, M, d) or None.

    parts: 0 for plain features; otherwise those of so many body parts, flat as `PartFeatures.flatten` makes them.
    """

    feats: Tensor
    pids: Tensor
    camids: Tensor
    generated: Tensor | None = None
    parts: int = 0

    def __getitem__(self, index: Tensor) -> "FeatureSet":
        """The samples at `index`, (n,) int64 or bool (N,)."""
        return self._apply(lambda tensor: tensor[index])

    def to(self, device: torch.device) -> "FeatureSet":
        return self._apply(lambda tensor: tensor.to(device))

    def _apply(self, change: Callable[[Tensor], Tensor]) -> "FeatureSet":
        generated = None if self.generated is None else change(self.generated)
        return FeatureSet(change(self.feats), change(self.pids), change(self.camids), generated, self.parts)

    def check(self, name: str) -> None:
        """Raise `UserError`, starting with `name`, for no samples, shapes that do not match, NaN or infinity."""
        if self.feats.ndim != 2 or self.feats.numel() == 0:
            raise UserError(f"{name}: feats must be (N, d) and not empty, got {tuple(self.feats.shape)}")
        count, size = self.feats.shape
        for labels, kind in ((self.pids, "pids"), (self.camids, "camids")):
            if labels.shape != (count,):
                raise UserError(f"{name}: {count} features but {len(labels)} {kind}; every row needs one")
        _check_finite(self.feats, f"{name}: feats")
        if self.generated is not None:
            shape = tuple(self.generated.shape)
            if len(shape) != 3 or shape[1] == 0 or (shape[0], shape[2]) != (count, size):
                raise UserError(f"{name}: generated must be ({count}, M, {size}) for these features, got {shape}")
            _check_finite(self.generated, f"{name}: generated")


def _check_finite(feats: Tensor, name: str) -> None:
    """feats: (N, ...); `UserError` with the number of rows that are not finite, and the first of them."""
    bad = (~feats.flatten(1).isfinite().all(1)).nonzero()[:, 0]
    if len(bad):
        raise UserError(f"{name}: {len(bad)} of {len(feats)} rows hold NaN or infinity, the first is row {bad[0]}")
