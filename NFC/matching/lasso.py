"""The lasso of many right sides at once, by coordinate descent on products: the dictionary itself is not needed."""

import torch
from torch import Tensor

TOLERANCE = 1e-8  # of the optimality conditions
MOST_SWEEPS = 300
STEADY = 1e-9  # on the diagonal of a support's equations, which may have many solutions
BLOCK = 16  # coordinates between two products of matrices


@torch.no_grad()
def lasso(gram: Tensor, products: Tensor, beta: float, tolerance: float = TOLERANCE) -> Tensor:
    """argmin over w of |x - Y w|^2 + beta |w|_1 for each column x of P problems -> weights (P, M, N) float64.

    gram: (P, M, M) Y^T Y; products: (P, M, N) Y^T X, both float64. The objective has no 1/2, so the soft threshold is
    beta / 2, and scikit-learn's `Lasso(alpha)` over n numbers has beta = 2 n alpha. From zero, coordinates are taken in
    turn, all columns of all problems at once. Where columns of a dictionary resemble each other that is slow, so after
    each sweep the weights go on to the solution on their support, which does not raise the objective either (as in Lee
    et al., NIPS 2006). A problem is done when no optimality condition is violated by more than `tolerance`:
    2 y^T (x - Y w) = beta sign(w) where w is not 0, and at most beta in size elsewhere. Columns of zeros get 0.
    """
    weights = torch.zeros_like(products)
    rows = torch.arange(len(gram), device=gram.device)
    for _ in range(MOST_SWEEPS):
        own, right, current = gram[rows], products[rows], weights[rows]
        _sweep(own, right, current, beta / 2)
        pair, column = (violation(own, right, current, beta).amax(1) > tolerance).nonzero(as_tuple=True)
        current[pair, :, column] = _on_support(own, pair, right[pair, :, column], current[pair, :, column], beta)
        weights[rows] = current
        rows = rows[pair.unique()]
        if not len(rows):
            break
    return weights


def violation(gram: Tensor, products: Tensor, weights: Tensor, beta: float) -> Tensor:
    """(P, M, N): how far the optimality conditions of `lasso` are from being met."""
    slope = 2 * (products - gram @ weights)
    return torch.where(weights == 0, (slope.abs() - beta).clamp(min=0), (slope - beta * weights.sign()).abs())


def _sweep(gram: Tensor, products: Tensor, weights: Tensor, threshold: float) -> None:
    """Each coordinate once, in place: those of a block share a product with all weights, then follow each other."""
    squares = gram.diagonal(dim1=1, dim2=2)[..., None]
    divisors = torch.where(squares > 0, squares, 1)
    for start in range(0, gram.shape[1], BLOCK):
        block = slice(start, start + BLOCK)
        rest = products[:, block] - gram[:, block] @ weights  # y^T (x - Y w)
        for k in range(rest.shape[1]):
            j = start + k
            new = _shrunk(rest[:, k] + squares[:, j] * weights[:, j], threshold) / divisors[:, j]
            rest -= gram[:, block, j, None] * (new - weights[:, j])[:, None]
            weights[:, j] = new


def _on_support(gram: Tensor, pair: Tensor, products: Tensor, weights: Tensor, beta: float) -> Tensor:
    """Weights (C, M) of columns of the problems `pair` (C,): those that are not 0 moved to their own solution.

    A weight that becomes 0 on the way stays 0, and the others start anew, until no more do.
    """
    weights, rows = weights.clone(), torch.arange(len(weights), device=weights.device)
    while len(rows):
        weights[rows], through = _step(gram, pair[rows], products[rows], weights[rows], beta)
        rows = rows[through]
    return weights


def _step(gram: Tensor, pair: Tensor, products: Tensor, weights: Tensor, beta: float) -> tuple[Tensor, Tensor]:
    """Weights (C, M) moved to where 2 y^T (x - Y w) = beta sign(w), or to the first that becomes 0; (C,) if one did."""
    used = weights != 0
    size = max(1, int(used.sum(1).max()))
    used, places = used.to(gram.dtype).topk(size, dim=1)  # (C, S)
    used, own, problem = used > 0, weights.gather(1, places), pair[:, None, None]
    alone = torch.eye(size, dtype=gram.dtype, device=gram.device)
    inner = gram[problem, places[:, :, None], places[:, None]] * (used[:, :, None] & used[:, None])
    slope = products.gather(1, places) - beta / 2 * own.sign() - (inner @ own[..., None])[..., 0]
    inner = inner + torch.where(used[..., None], STEADY, 1.0) * alone
    added = torch.linalg.solve(inner, slope.where(used, 0))
    step = torch.where(own * (own + added) < 0, -own / added, 1)
    share = step.amin(1, keepdim=True)
    moved = (own + share * added).masked_fill((step <= share) & (step < 1), 0)
    return torch.zeros_like(weights).scatter_(1, places, moved), share[:, 0] < 1


def _shrunk(values: Tensor, threshold: float) -> Tensor:
    return values - values.clamp(-threshold, threshold)
