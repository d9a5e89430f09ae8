"""DMLI, dynamically matching local information: how far the stripes of two pictures are apart when they may shift.

d_ij = tanh(|a_i - b_j| / 2) of stripe i of one picture and stripe j of the other, and D the smallest sum of them along
a path from the first stripes of both to the last ones that only steps to the next stripe of either; it has H + K - 1
cells. So D(x, y) = D(y, x), but D(x, x) is 0 only where all stripes are equal: it is no metric.
Unaligned, D is the sum of d_ii instead, of H cells; the two say nothing beside each other.
Source: AlignedReID (arXiv 1711.08184) and AlignedReID++ (Pattern Recognition 2019). Where their papers and the authors'
code have (e^x - 1) / (e^x + 1), this has tanh(x / 2), which is the same number and does not overflow.
"""

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from pose2id.arrays import Array, as_features, compute_dtype, in_kind
from pose2id.devices import AtOnce
from pose2id.errors import UserError

ELEMENTS = AtOnce(cpu=2**18, gpu=2**26)  # d_ij of one i
QUERIES = AtOnce(cpu=32, gpu=256)  # of a tile
GATHERED = AtOnce(cpu=2**20, gpu=2**26)  # numbers of pairs of stripes that are compared one by one
LONG = 2.0  # stripes longer than this are compared in float64
NEAR = 2.5e-4  # squared distances of halved stripes below which a float32 product has lost too much


@torch.no_grad()
def dmli_distances(query: Array, gallery: Array, aligned: bool = True) -> Array:
    """(Q, G) distances of stripes (Q, H, d) and (G, K, d), which are taken as they are: normalise them before.

    NumPy or torch, any device; float32, or float64 of float64 stripes. Unaligned needs H = K. Every pair is compared:
    Q G H K d products, exact to about 1e-5 for stripes of unit length and better for longer ones, which are compared in
    float64. Memory beside the result: a tile of pairs. Raises `UserError` for unusable numbers or sizes that differ.
    """
    a, b = as_features(query, "query stripes", 3), as_features(gallery, "gallery stripes", 3)
    check_stripes(a, b, aligned)
    return in_kind(stripe_distances(a, b.to(a.device), aligned), query)


def check_stripes(a: Tensor, b: Tensor, aligned: bool = True) -> None:
    """`UserError` unless (Q, H, d) and (G, K, d) can be compared."""
    if a.shape[-1] != b.shape[-1]:
        raise UserError(f"query and gallery stripes differ in size: {a.shape[-1]} and {b.shape[-1]}")
    if not aligned and a.shape[-2] != b.shape[-2]:
        raise UserError(f"stripes are compared one by one, but there are {a.shape[-2]} and {b.shape[-2]}: align them")


def stripe_distances(a: Tensor, b: Tensor, aligned: bool = True) -> Tensor:
    """`dmli_distances` of tensors that have been checked.

    A tile holds the d_ij of one stripe i of its queries and all stripes j of its gallery pictures as K planes of pairs,
    which one product makes; the path's sums are K such planes.
    """
    result = a.new_empty(len(a), len(b), dtype=compute_dtype(a))
    exact = max(float(stripes.float().norm(dim=-1).max()) for stripes in (a, b)) > LONG
    dtype = torch.float64 if exact else result.dtype
    queries = min(len(a), QUERIES.on(a.device))
    for columns in torch.arange(len(b)).split(ELEMENTS.rows(b.shape[1] * queries, a.device)):
        part = slice(int(columns[0]), int(columns[-1]) + 1)
        others = (b[part].to(dtype) / 2).transpose(0, 1).contiguous()  # (K, B, d)
        squares = others.square().sum(-1)
        for start in range(0, len(a), queries):
            rows = slice(start, start + queries)
            stripes = (a[rows].to(dtype) / 2).unbind(1)
            if aligned:
                tile = shortest(_elements(stripe, others, squares) for stripe in stripes)
            else:
                own = zip(stripes, others.split(1), squares.split(1), strict=True)
                tile = torch.stack([_elements(*given)[0] for given in own]).sum(0)
            result[rows, part] = tile.T.to(result.dtype)
    return result


def _elements(stripe: Tensor, others: Tensor, squares: Tensor) -> Tensor:
    """(K, B, R): tanh(|a - b|) of one halved stripe (R, d) and halved ones (K, B, d), whose squares are (K, B)."""
    flat = others.flatten(0, 1)
    distances = torch.addmm(squares.reshape(-1, 1), flat, stripe.T, alpha=-2).add_(stripe.square().sum(1)).clamp_(min=0)
    if distances.dtype == torch.float32 and distances.amin() < NEAR:
        _compare_near(distances, stripe, flat)
    return distances.sqrt_().tanh_().view(*others.shape[:2], -1)


def _compare_near(squares: Tensor, stripe: Tensor, others: Tensor) -> None:
    """Put the sum of squared differences where a product (N, R) of (N, d) and (R, d) gives next to nothing."""
    item, row = (squares < NEAR).nonzero(as_tuple=True)
    kept = others.any(1)[item]  # stripes of zeros are equal without a loss
    size = GATHERED.rows(stripe.shape[1], stripe.device)
    for i, j in zip(item[kept].split(size), row[kept].split(size), strict=True):
        squares[i, j] = (others[i] - stripe[j]).square_().sum(1)


def shortest(rows: Iterable[Tensor]) -> Tensor:
    """(...): length of the shortest path through rows of d_i1 .. d_iK, (K, ...) each; differentiable."""
    sums: list[Tensor] = []
    for row in rows:
        if not sums:
            sums = list(row.cumsum(0).unbind())
            continue
        sums[0] = sums[0] + row[0]
        for j in range(1, len(row)):
            sums[j] = torch.minimum(sums[j], sums[j - 1]).add_(row[j])
    return sums[-1]


def element_distances(a: Tensor, b: Tensor) -> Tensor:
    """(..., H, K): d_ij of (..., H, d) and (..., K, d); finite gradients also where stripes are equal."""
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist").div(2).tanh()


def paired_distances(a: Tensor, b: Tensor) -> Tensor:
    """(P,): D of pairs of pictures (P, H, d) and (P, K, d), for training; at a tie the gradient may go either way."""
    return shortest(element_distances(a, b).permute(1, 2, 0))


def path_sums(elements: np.ndarray) -> np.ndarray:
    """(H, K) float64: the sum of the d_ij of the shortest path to each cell."""
    sums = np.asarray(elements, np.float64).copy()
    for (i, j), _ in np.ndenumerate(sums):
        before = [sums[i - 1, j]] * (i > 0) + [sums[i, j - 1]] * (j > 0)
        sums[i, j] += min(before, default=0.0)
    return sums


def shortest_path(elements: np.ndarray) -> np.ndarray:
    """(2, H + K - 1) int64: the cells (i, j) of the shortest path through d_ij (H, K), from the first to the last.

    Of two ways that are equally far it takes the one over a lower j, as the authors' drawing does.
    """
    sums = path_sums(elements)
    i, j = sums.shape[0] - 1, sums.shape[1] - 1
    cells = [(i, j)]
    while i or j:
        left = j > 0 and (i == 0 or sums[i, j - 1] <= sums[i - 1, j])
        i, j = (i, j - 1) if left else (i - 1, j)
        cells.append((i, j))
    return np.array(cells[::-1]).T
