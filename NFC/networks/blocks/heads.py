"""Heads for training: a neck of batch normalisation and a linear classifier (Luo et al., CVPRW 2019)."""

import torch
from torch import Tensor, nn


def bn_neck(dim: int) -> nn.BatchNorm1d:
    """A batch normalisation whose bias stays zero."""
    neck = nn.BatchNorm1d(dim)
    neck.bias.requires_grad_(False)
    return neck


def class_scores(neck: nn.Module, classifier: nn.Module, features: Tensor) -> Tensor:
    """(B, d) -> (B, classes), in float32 also under autocast."""
    with torch.autocast(features.device.type, enabled=False):
        return classifier(neck(features.float()))
