"""What does not exist for a query: the exclusion rules of the benchmarks."""

from collections.abc import Callable

from torch import Tensor

from pose2id.arrays import equal_pairs

# (q_pids (B,), q_camids (B,), g_pids (G,), g_camids (G,)) -> bool (B, G), True where an item does not exist for a query
Exclude = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def same_camera(q_pids: Tensor, q_camids: Tensor, g_pids: Tensor, g_camids: Tensor) -> Tensor:
    """(B, G) bool: the gallery items with the query's pid and camid, which the Market1501 rule leaves out."""
    return equal_pairs(q_pids, g_pids).logical_and_(equal_pairs(q_camids, g_camids))
