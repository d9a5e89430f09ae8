"""Columns of a map: pooling windows of several sizes, and the two heads of DSR's authors that make features of them."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, adaptive_max_pool2d, avg_pool2d, fold, max_pool2d

from pose2id.errors import UserError

from ...features.kinds import ColumnFeatures
from ..reid_network import Branch
from .heads import bn_neck, class_scores

WHOLE = 0  # in place of a window's side: the whole map
POOLING = {"mean": (avg_pool2d, adaptive_avg_pool2d), "max": (max_pool2d, adaptive_max_pool2d)}


def window_counts(height: int, width: int, windows: Sequence[int], stride: int) -> list[int]:
    """How many columns each window gives of a map; one that does not fit gives none. `UserError` where none fits."""

    def along(side: int, window: int) -> int:
        return (side - window) // stride + 1 if side >= window else 0

    if stride < 1 or min(windows, default=-1) < 0:
        raise UserError(f"windows must be at least 1 (0: the whole map) and stride 1, got {[*windows]} and {stride}")
    counts = [1 if window == WHOLE else along(height, window) * along(width, window) for window in windows]
    if not any(counts[k] for k, window in enumerate(windows) if window != WHOLE):
        raise UserError(
            f"no window of {', '.join(map(str, windows))} fits into a map of {height} x {width}; take larger pictures"
        )
    return counts


def pooled_columns(maps: Tensor, windows: Sequence[int], stride: int, pooling: str) -> Tensor:
    """(B, C, h, w) -> (B, M, C): windows in their order, each row by row, without padding; see `window_counts`."""
    counts = window_counts(*maps.shape[2:], windows, stride)
    pool, pool_all = POOLING[pooling]
    pooled = [
        pool_all(maps, 1) if window == WHOLE else pool(maps, window, stride)
        for window, count in zip(windows, counts, strict=True)
        if count
    ]
    return torch.cat([part.flatten(2) for part in pooled], dim=2).mT


def spread(weights: Tensor, size: tuple[int, int], windows: Sequence[int], stride: int) -> Tensor:
    """Numbers (M,) of the columns of a map of `size` -> (h, w): at each place a mean over the windows around it."""
    counts = window_counts(*size, windows, stride)
    total, hits = weights.new_zeros(2, 1, *size)
    for window, own in zip(windows, weights.split(counts), strict=True):
        if len(own):
            kernel = size if window == WHOLE else (window, window)
            for sums, values in ((total, own), (hits, torch.ones_like(own))):
                sums += fold(values.expand(kernel[0] * kernel[1], -1), size, kernel, stride=stride)
    return (total / hits.clamp(min=1))[0]


class MeanHead(nn.Module):
    """Of the authors' code of 2019 (SFR): normalised map, means of windows that count alike; the whole is its mean.

    Theirs is trained by triplets alone; neck and classifier are ours.
    """

    pooling: ClassVar[str] = "mean"
    unused_at_test: ClassVar[tuple[str, ...]] = ("bottleneck.", "classifier.")

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(channels)
        self.bottleneck = bn_neck(channels) if num_classes else None
        self.classifier = nn.Linear(channels, num_classes, bias=False) if num_classes else None

    def features(self, maps: Tensor, windows: Sequence[int], stride: int) -> ColumnFeatures:
        """(B, C, h, w) -> whole (B, C), columns (B, M, C), weights (B, M)."""
        maps = self.bn1(maps).relu()
        columns = pooled_columns(maps, windows, stride, self.pooling)
        return ColumnFeatures(maps.mean((2, 3)), columns, columns.new_full(columns.shape[:2], 1 / columns.shape[1]))

    def branches(self, maps: Tensor, windows: Sequence[int], stride: int) -> list[Branch]:
        """The mean of the map with its columns."""
        made = self.features(maps, windows, stride)
        scores = class_scores(self.bottleneck, self.classifier, made.whole) if self.classifier else None
        return [Branch(made.whole, scores, stripes=made.columns)]


class ScoredHead(nn.Module):
    """Of the authors' code of 2020: maxima of windows, each scored by how much it shows of the person.

    The whole is the foreground, the sum of the first window's columns by their scores, behind its neck.
    """

    pooling: ClassVar[str] = "max"
    unused_at_test: ClassVar[tuple[str, ...]] = ("bnneck.", "classifier.", "classifier_occ.")

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.occ_unit = nn.ModuleDict({"mask_layer": nn.Linear(channels, 1)})
        self.bnneck, self.bnneck_occ = bn_neck(channels), bn_neck(channels)
        classifiers = [nn.Linear(channels, num_classes, bias=False) if num_classes else None for _ in range(2)]
        self.classifier, self.classifier_occ = classifiers

    def foreground(self, maps: Tensor, windows: Sequence[int], stride: int) -> tuple[Tensor, Tensor, Tensor]:
        """Foreground (B, C) before its neck, columns (B, M, C), and weights (B, M) whose sum is 1."""
        columns = pooled_columns(maps, windows, stride, self.pooling)
        scores = self.occ_unit["mask_layer"](columns)[..., 0].sigmoid()
        first = next(filter(None, window_counts(*maps.shape[2:], windows, stride)))
        share = scores[:, :first] / scores[:, :first].sum(1, keepdim=True)
        foreground = (share[..., None] * columns[:, :first]).sum(1)
        return foreground, columns, scores / scores.sum(1, keepdim=True)

    def features(self, maps: Tensor, windows: Sequence[int], stride: int) -> ColumnFeatures:
        """(B, C, h, w) -> whole (B, C), columns (B, M, C), weights (B, M)."""
        foreground, columns, weights = self.foreground(maps, windows, stride)
        return ColumnFeatures(self.bnneck_occ(foreground), columns, weights)

    def branches(self, maps: Tensor, windows: Sequence[int], stride: int) -> list[Branch]:
        """The mean of the map, and the foreground, each before its neck, with the columns."""
        foreground, columns, _ = self.foreground(maps, windows, stride)
        branches = [(maps.mean((2, 3)), self.bnneck, self.classifier)]
        branches.append((foreground, self.bnneck_occ, self.classifier_occ))
        return [
            Branch(feats, class_scores(neck, classifier, feats) if classifier else None, stripes=columns)
            for feats, neck, classifier in branches
        ]
