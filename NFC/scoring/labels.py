"""Who is on each picture, where it was taken, and so what a query should find."""

from dataclasses import dataclass

import torch
from torch import Tensor

from pose2id.arrays import equal_pairs

from ..datasets.rules import Exclude


@dataclass(frozen=True)
class Labels:
    """Who and where: pids and camids (Q,) or (G,) int64, and the rule for what is left out."""

    q_pids: Tensor
    q_camids: Tensor
    g_pids: Tensor
    g_camids: Tensor
    exclude: Exclude

    def excluded(self, rows: Tensor, cols: slice) -> Tensor:
        """(B, columns) bool: True where a gallery item does not exist for a query."""
        return self.exclude(self.q_pids[rows], self.q_camids[rows], self.g_pids[cols], self.g_camids[cols])

    def true_and_wrong(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """(B, G) bool each; what is left out is neither."""
        same, kept = equal_pairs(self.q_pids[rows], self.g_pids), self.excluded(rows, slice(None)).logical_not_()
        return same & kept, same.logical_not_().logical_and_(kept)

    def count_identities(self, items: Tensor) -> Tensor:
        """items: (B, G) bool. Returns (B,) int64: how many different pids they have."""
        pids, identity = self.g_pids.unique(return_inverse=True)
        seen = torch.zeros((len(items), len(pids)), dtype=torch.uint8, device=items.device)
        return seen.scatter_reduce_(1, identity.expand_as(items), items.to(torch.uint8), "amax").sum(1)
