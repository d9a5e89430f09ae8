"""Identity-guided feature refinement: a ReID feature becomes tokens for cross-attention."""

from torch import Tensor, nn


class IFR(nn.Module):
    """H = LayerNorm(Linear(f)) (Pose2ID, arXiv 2503.00938, Eq. 5)."""

    def __init__(self, feature_dim: int, num_tokens: int, token_dim: int) -> None:
        super().__init__()
        self.num_tokens, self.token_dim = num_tokens, token_dim
        self.proj_motion = nn.Linear(feature_dim, num_tokens * token_dim)
        self.norm_motion = nn.LayerNorm(token_dim)

    def forward(self, features: Tensor) -> Tensor:
        """(B, feature_dim) -> (B, num_tokens, token_dim)."""
        return self.norm_motion(self.proj_motion(features).view(-1, self.num_tokens, self.token_dim))
