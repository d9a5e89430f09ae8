"""SAAI's pieces for visible and infrared pictures: modality alleviation, part pooling, one neck a modality."""

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm, instance_norm


class ModalityAlleviation(nn.Module):
    """MAM: mixes each channel with its instance-normalised self, by a gate that the channel means decide."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channel_attention = nn.Sequential(
            nn.Conv2d(channels, channels // 16, kernel_size=1, bias=False),
            nn.ReLU(),
            nn.Conv2d(channels // 16, channels, kernel_size=1, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, h, w) -> the same shape."""
        gate = self.channel_attention(features.mean((2, 3), keepdim=True))
        return gate * features + (1 - gate) * instance_norm(features)


class AttentionPool(nn.Module):
    """Part features: each part's sigmoid gate over the positions weighs the map; the position table only gates."""

    def __init__(self, parts: int, positions: int, dim: int) -> None:
        super().__init__()
        self.part_tokens = nn.Parameter(torch.randn(parts, dim) * 0.02)
        self.pos_embeding = nn.Parameter(torch.randn(positions, dim) * 0.02)  # the official spelling

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, positions, dim) -> (B, parts, dim)."""
        return self.gates(pixels) @ pixels / pixels.shape[1]

    def gates(self, pixels: Tensor) -> Tensor:
        """(B, positions, dim) -> (B, parts, positions) in (0, 1)."""
        return (self.part_tokens @ (pixels + self.pos_embeding).transpose(1, 2)).sigmoid()


class DualNeck(nn.Module):
    """One BatchNorm a modality, chosen for each picture. In training a lone picture gets the running statistics."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.bn_neck_v = nn.BatchNorm1d(dim)
        self.bn_neck_i = nn.BatchNorm1d(dim)

    def forward(self, feats: Tensor, infrared: Tensor) -> Tensor:
        """(B, dim) and (B,) bool -> (B, dim)."""
        result = torch.empty_like(feats)
        for neck, chosen in ((self.bn_neck_v, ~infrared), (self.bn_neck_i, infrared)):
            if chosen.any():
                own = feats[chosen]
                lone = self.training and len(own) == 1
                result[chosen] = (_as_in_tests(neck, own) if lone else neck(own)).to(result.dtype)
        return result


def _as_in_tests(neck: nn.BatchNorm1d, feats: Tensor) -> Tensor:
    return batch_norm(feats, neck.running_mean, neck.running_var, neck.weight, neck.bias, eps=neck.eps)
