"""What does not exist for a query: the exclusion rules of the benchmarks."""

from collections.abc import Callable

from torch import Tensor

# (q_pids (B,), q_camids (B,), g_pids (G,), g_camids (G,)) -> bool (B, G), True where an item does not exist for a query
Exclude = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def same_camera(q_pids: Tensor, q_camids: Tensor, g_pids: Tensor, g_camids: Tensor) -> Tensor:
    """(B, G) bool: the gallery items with the query's pid and camid, which the Market1501 rule leaves out."""
    return (q_pids[:, None] == g_pids) & (q_camids[:, None] == g_camids)
