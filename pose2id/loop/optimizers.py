"""Optimizers, whose parameters may have rates of their own, and the learning-rate schedule."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from ..errors import UserError
from .settings import LoopConfig

Parameters = list[nn.Parameter] | list[dict[str, Any]]  # a list for each group, as torch has it


def rate_groups(
    parameters: Mapping[str, nn.Parameter], factors: Mapping[str, float]
) -> dict[float, list[nn.Parameter]]:
    """Named parameters that learn, by the factor on their learning rate: that of the first prefix that fits, or 1.

    A prefix fits the beginning of a name, or of what follows a dot in it. `UserError` for one that fits none, not even
    one that is frozen.
    """
    groups: dict[float, list[nn.Parameter]] = {}
    fitting: set[str] = set()
    for name, parameter in parameters.items():
        prefixes = [prefix for prefix in factors if f".{prefix}" in f".{name}"][:1]
        fitting.update(prefixes)
        factor = factors[prefixes[0]] if prefixes else 1.0
        if parameter.requires_grad:
            groups.setdefault(factor, []).append(parameter)
    if lacking := factors.keys() - fitting:
        raise UserError(f"learning_rate_factors: no parameter is called '{min(lacking)}...'; mend the name")
    return groups


def build_optimizer(parameters: Parameters, config: LoopConfig) -> torch.optim.Optimizer:
    """The optimizer that `config` names, over `parameters`; `UserError` when a package for it is missing."""
    common: dict[str, Any] = {"lr": config.learning_rate, "weight_decay": config.weight_decay}
    if config.optimizer == "sgd":
        return torch.optim.SGD(parameters, momentum=config.momentum, nesterov=config.nesterov, fused=True, **common)
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
    if config.lr_schedule == "step":
        return warm * config.lr_drop_factor ** sum(progress >= share for share in config.lr_drops)
    return warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, progress))))
