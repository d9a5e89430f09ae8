"""Optimizers, whose parameters may have learning rates and weight decays of their own."""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ..errors import UserError

if TYPE_CHECKING:
    from .settings import LoopConfig

Parameters = list[nn.Parameter] | list[dict[str, Any]]  # a list for each group, as torch has it
Factors = Mapping[str, float]  # by prefixes of names


def parameter_groups(
    parameters: Mapping[str, nn.Parameter], rate_factors: Factors, decay_factors: Factors
) -> dict[tuple[float, float], list[nn.Parameter]]:
    """Named parameters that learn, by the factors on their learning rate and weight decay, see `factors_of`."""
    rates = factors_of(parameters, rate_factors, "learning_rate_factors")
    decays = factors_of(parameters, decay_factors, "weight_decay_factors")
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for parameter, rate, decay in zip(parameters.values(), rates, decays, strict=True):
        if parameter.requires_grad:
            groups.setdefault((rate, decay), []).append(parameter)
    return groups


def factors_of(names: Iterable[str], factors: Factors, setting: str) -> list[float]:
    """The factor of each name: that of the first prefix that fits, or 1.

    A prefix fits the beginning of a name, or of what follows a dot in it. `UserError`, naming `setting`, for one that
    fits none, not even one that is frozen.
    """
    fitting = [next((prefix for prefix in factors if f".{prefix}" in f".{name}"), None) for name in names]
    if lacking := factors.keys() - set(fitting):
        raise UserError(f"{setting}: no parameter is called '{min(lacking)}...'; mend the name")
    return [1.0 if prefix is None else factors[prefix] for prefix in fitting]


def adamw(parameters: Parameters, config: "LoopConfig") -> torch.optim.Optimizer:
    return torch.optim.AdamW(parameters, fused=True, **_common(config))


def adamw_8bit(parameters: Parameters, config: "LoopConfig") -> torch.optim.Optimizer:
    try:
        from bitsandbytes.optim import AdamW8bit
    except ImportError as error:
        raise UserError(
            "optimizer 'adamw8bit' needs bitsandbytes, which cannot be imported; install it, or use optimizer=adamw"
        ) from error
    return AdamW8bit(parameters, **_common(config))


def adam(parameters: Parameters, config: "LoopConfig") -> torch.optim.Optimizer:
    return torch.optim.Adam(parameters, fused=True, **_common(config))


def sgd(parameters: Parameters, config: "LoopConfig") -> torch.optim.Optimizer:
    momentum, nesterov = config.momentum, config.nesterov
    return torch.optim.SGD(parameters, momentum=momentum, nesterov=nesterov, fused=True, **_common(config))


def rmsprop(parameters: Parameters, config: "LoopConfig") -> torch.optim.Optimizer:
    return torch.optim.RMSprop(parameters, alpha=config.momentum, **_common(config))


OPTIMIZERS: dict[str, Callable[[Parameters, "LoopConfig"], torch.optim.Optimizer]] = {
    "adamw": adamw,
    "adamw8bit": adamw_8bit,
    "sgd": sgd,
    "adam": adam,
    "rmsprop": rmsprop,
}


def build_optimizer(parameters: Parameters, config: "LoopConfig") -> torch.optim.Optimizer:
    """The optimizer that `config` names, over `parameters`; `UserError` when a package for it is missing."""
    return OPTIMIZERS[config.optimizer](parameters, config)


def _common(config: "LoopConfig") -> dict[str, Any]:
    return {"lr": config.learning_rate, "weight_decay": config.weight_decay}
