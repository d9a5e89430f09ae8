"""Part proxies: learnt queries, each of which gathers the patches of one part (SAP)."""

import torch
from torch import Tensor, nn


class CrossAttention(nn.Module):
    """One head: queries (B, Q, d) look at tokens (B, T, d) -> what they became, and the logits (B, Q, T).

    Queries are not projected, as in the paper's loss of the proxies; residual and layer norm are ours.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.key = nn.Linear(dim, dim, bias=False)
        self.value = nn.Linear(dim, dim)
        self.norm = nn.LayerNorm(dim)

    def forward(self, queries: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        logits = proxy_logits(queries, self.key(tokens))
        return self.norm(queries + logits.softmax(-1) @ self.value(tokens)), logits


class PartProxies(nn.Module):
    """Patches (B, N, d) -> proxies (B, M, d), and the logits (B, M, N) of each look of the proxies at the patches.

    refine: MAPR, mutual absorbing partition refinement: the patches look at the proxies, and these at the patches once
    more. That the proxies begin, and how often, is ours.
    """

    def __init__(self, proxies: int, dim: int, refine: bool = True) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(proxies, dim))
        self.gather = CrossAttention(dim)
        self.absorb, self.refine = (CrossAttention(dim), CrossAttention(dim)) if refine else (None, None)

    def forward(self, patches: Tensor) -> tuple[Tensor, list[Tensor]]:
        proxies, first = self.gather(self.queries.expand(len(patches), -1, -1), patches)
        if self.refine is None:
            return proxies, [first]
        absorbed, _ = self.absorb(patches, proxies)
        refined, second = self.refine(proxies, absorbed)
        return refined, [first, second]


def proxy_logits(queries: Tensor, keys: Tensor) -> Tensor:
    """(B, Q, d), (B, T, d) -> (B, Q, T): products by the square root of d."""
    return queries @ keys.transpose(-2, -1) / queries.shape[-1] ** 0.5
