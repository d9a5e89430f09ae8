"""Stripes of the last map, each reduced and classified by itself: what PCB, RPP and ICNN have in common."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, dropout

from pose2id.errors import UserError

from .heads import class_scores

CLASSIFIERS = ("own", "shared", "mean")


def stripe_means(maps: Tensor, parts: int) -> Tensor:
    """(B, C, h, w) -> (B, parts, C): means over stripes of rows from top to bottom.

    Stripe i has the rows from floor(h i / parts) to ceil(h (i + 1) / parts), so stripes overlap where `parts` does not
    divide h.
    """
    return adaptive_avg_pool2d(maps, (parts, 1)).flatten(2).transpose(1, 2)


def stripe_shares(rows: int, columns: int, parts: int) -> Tensor:
    """(parts, rows, columns): how much of each place goes to each of these stripes; those that overlap share alike."""
    row, part = torch.arange(rows), torch.arange(parts)[:, None]
    belongs = ((row + 1) * parts > part * rows) & (row * parts < (part + 1) * rows)
    return (belongs / belongs.sum(0))[..., None].expand(-1, -1, columns)


@dataclass(frozen=True)
class HeadForm:
    """What authors do alike or not: a bias before the normalisation, a ReLU behind it, dropout of stripes and after."""

    bias: bool = False
    relu: bool = True
    stripe_dropout: float = 0.5
    reduced_dropout: float = 0.0


class Reduction(nn.Module):
    """A 1 x 1 convolution of pooled stripes, which is a linear layer, and its normalisation: (N, C) -> (N, reduced)."""

    def __init__(self, channels: int, reduced: int, form: HeadForm) -> None:
        super().__init__()
        self.form = form
        self.linear = nn.Linear(channels, reduced, bias=form.bias)
        self.norm = nn.BatchNorm1d(reduced)

    def forward(self, stripes: Tensor) -> Tensor:
        x = self.norm(self.linear(stripes))
        return dropout(x.relu() if self.form.relu else x, self.form.reduced_dropout, self.training)


class StripeHeads(nn.Module):
    """Stripes (B, P, C) -> reduced ones and class scores.

    own: a reduction for each stripe instead of one for all. classifiers: "own" for each stripe; "shared" is the
    paper's variant 2, one for all stripes; "mean" its variant 1, one for the mean of the reduced stripes.
    """

    def __init__(
        self, channels: int, parts: int, reduced: int, form: HeadForm, own: bool, classifiers: str, num_classes: int
    ) -> None:
        super().__init__()
        if parts < 1:
            raise UserError(f"parts must be at least 1, got {parts}")
        if classifiers not in CLASSIFIERS:
            raise UserError(f"unknown classifiers '{classifiers}'; choose one of: {', '.join(CLASSIFIERS)}")
        self.form, self.of_mean = form, classifiers == "mean"
        self.reductions = nn.ModuleList(Reduction(channels, reduced, form) for _ in range(parts if own else 1))
        count = parts if classifiers == "own" else 1
        self.classifiers = nn.ModuleList(nn.Linear(reduced, num_classes) for _ in range(count if num_classes else 0))

    def reduced(self, stripes: Tensor) -> Tensor:
        """(B, P, C) -> (B, P, reduced)."""
        if len(self.reductions) == 1:
            return self.reductions[0](stripes.flatten(0, 1)).unflatten(0, stripes.shape[:2])
        pairs = zip(self.reductions, stripes.unbind(1), strict=True)
        return torch.stack([reduction(stripe) for reduction, stripe in pairs], dim=1)

    def scores(self, stripes: Tensor) -> list[Tensor]:
        """(B, P, C) -> scores (B, classes) in float32 of each stripe, or of their mean."""
        reduced = self.reduced(dropout(stripes, self.form.stripe_dropout, self.training))
        branches = [reduced.mean(1)] if self.of_mean else reduced.unbind(1)
        shared = len(self.classifiers) == 1
        chosen = [self.classifiers[0 if shared else i] for i in range(len(branches))]
        return [class_scores(nn.Identity(), *pair) for pair in zip(chosen, branches, strict=True)]
