"""Optimizers and the learning-rate schedule."""

import math
from typing import Any

import torch
from torch import nn

from ..errors import UserError
from .settings import LoopConfig


def build_optimizer(parameters: list[nn.Parameter], config: LoopConfig) -> torch.optim.Optimizer:
    """The optimizer that `config` names, over `parameters`; `UserError` when a package for it is missing."""
    common: dict[str, Any] = {"lr": config.learning_rate, "weight_decay": config.weight_decay}
    if config.optimizer == "sgd":
        return torch.optim.SGD(parameters, momentum=config.momentum, fused=True, **common)
    if config.optimizer == "adamw":
        return torch.optim.AdamW(parameters, fused=True, **common)
    try:
        from bitsandbytes.optim import AdamW8bit
    except ImportError as error:
        raise UserError(
            "optimizer 'adamw8bit' needs bitsandbytes, which cannot be imported; install it, or use optimizer=adamw"
        ) from error
    return AdamW8bit(parameters, **common)


def learning_rate_factor(config: LoopConfig, step: int, progress: float) -> float:
    """Factor on the learning rate at `step`, with `progress` 0..1 through the run."""
    warm = min(1.0, (step + 1) / max(1, config.warmup_steps))
    if config.lr_schedule == "constant":
        return warm
    return warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, progress))))
