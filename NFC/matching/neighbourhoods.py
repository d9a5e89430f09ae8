"""k-reciprocal sets of samples, sparse, and how much the weighted neighbourhoods of two samples overlap."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor

SHARED = 2**22  # weights compared at once


def expanded_sets(nearest: np.ndarray, k: int) -> csr_matrix:
    """(N, N) float32 sparse with an entry wherever j is in the expanded k-reciprocal set of i.

    nearest: (N, K) int64 indices, nearest first, each sample itself before all others; of each its first k + 1 count.
    The k-reciprocal set of i holds those that list i and that i lists. It is expanded by the set that each of its
    members has for round(k / 2), where more than two thirds of that lie in it already. Source: Zhong et al., CVPR 2017.
    """
    reciprocal = _reciprocal(nearest[:, : k + 1])
    half = _reciprocal(nearest[:, : round(k / 2) + 1])
    overlap = (reciprocal @ half.T).multiply(reciprocal).tocsr()  # |set_i and half_c| for each c in set_i
    overlap.data = (3 * overlap.data > 2 * np.asarray(half.sum(1)).ravel()[overlap.indices]).astype(np.float32)
    overlap.eliminate_zeros()
    return (reciprocal + overlap @ half).tocsr()


def membership(nearest: np.ndarray) -> csr_matrix:
    """(N, N) sparse with a one wherever j is listed in row i of `nearest` (N, K)."""
    count, size = nearest.shape
    indptr = np.arange(0, count * size + 1, size)
    return csr_matrix((np.ones(count * size, np.float32), nearest.ravel(), indptr), shape=(count, count))


def _reciprocal(nearest: np.ndarray) -> csr_matrix:
    """(N, N) sparse with a one wherever i and j list each other."""
    listed = membership(nearest)
    return listed.multiply(listed.T).tocsr()


def with_unit_rows(weights: csr_matrix) -> csr_matrix:
    """Rows divided by their sums."""
    weights.data /= np.repeat(np.asarray(weights.sum(1)).ravel(), np.diff(weights.indptr))
    return weights


@dataclass(frozen=True)
class InvertedLists:
    """The weights of N items, by column: which items have one there. A product of sparse matrices that takes minima."""

    items: int
    start: Tensor  # (C + 1,) int64: where the list of each column begins
    item: Tensor  # (P,) int64
    weight: Tensor  # (P,) floating

    @classmethod
    def of(cls, weights: csr_matrix, device: torch.device) -> "InvertedLists":
        """weights: (N, C)."""
        columns = weights.tocsc()
        start, item, weight = (
            torch.from_numpy(part).to(device) for part in (columns.indptr, columns.indices, columns.data)
        )
        return cls(columns.shape[0], start.long(), item.long(), weight)

    def overlap(self, row: Tensor, col: Tensor, weight: Tensor, rows: int) -> Tensor:
        """(rows, N): the sum over columns of the smaller of a row's weight and an item's.

        row, col (P,) int64 and weight (P,): those of the rows, zero elsewhere.
        """
        counts = self.start[col + 1] - self.start[col]  # items that share each weight of a row
        shared = torch.zeros(rows * self.items, dtype=self.weight.dtype, device=self.weight.device)
        for part in _chunks(counts):
            size = counts[part]
            first = (self.start[col[part]] - (size.cumsum(0) - size)).repeat_interleave(size)
            place = first + torch.arange(len(first), device=first.device)
            smaller = self.weight[place].minimum(weight[part].repeat_interleave(size))
            shared.index_add_(0, row[part].repeat_interleave(size) * self.items + self.item[place], smaller)
        return shared.view(rows, -1)


def _chunks(counts: Tensor) -> list[slice]:
    """Slices of `counts` with sums of about `SHARED`."""
    chunk = counts.cumsum(0) // SHARED
    ends = chunk.unique_consecutive(return_counts=True)[1].cumsum(0).tolist()
    return [slice(start, stop) for start, stop in zip([0, *ends], ends, strict=False)]
