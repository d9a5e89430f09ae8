"""Learning-rate schedules: the factor on the learning rate at every step of a run."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .settings import LoopConfig

Schedule = Callable[["LoopConfig", int, float], float]  # (settings, step, progress 0..1) -> factor

COSINE_END = 0.02
ROUNDING = 1e-9  # what a share may lack of a piece's beginning and still be there


def constant(config: "LoopConfig", step: int, progress: float) -> float:
    return 1.0


def cosine(config: "LoopConfig", step: int, progress: float) -> float:
    return COSINE_END + (1 - COSINE_END) * 0.5 * (1 + math.cos(math.pi * progress))


def dropping(config: "LoopConfig", step: int, progress: float) -> float:
    return config.lr_drop_factor ** sum(progress >= share for share in config.lr_drops)


def exponential(config: "LoopConfig", step: int, progress: float) -> float:
    """As in the code of AlignedReID's re-production, but from step to step instead of from epoch to epoch."""
    (start,) = config.lr_drops
    return config.lr_end ** (max(0.0, progress - start) / (1 - start))


def polynomial(config: "LoopConfig", step: int, progress: float) -> float:
    if config.lr_pieces:
        progress = math.floor(progress * config.lr_pieces + ROUNDING) / config.lr_pieces
    return (1 - progress) ** config.lr_power


def inverse(config: "LoopConfig", step: int, progress: float) -> float:
    """Caffe's; it knows steps alone, however long the run."""
    return (1 + config.lr_gamma * step) ** -config.lr_power


SCHEDULES: dict[str, Schedule] = {
    "constant": constant,
    "cosine": cosine,
    "step": dropping,
    "exponential": exponential,
    "polynomial": polynomial,
    "inverse": inverse,
}


def learning_rate_factor(config: "LoopConfig", step: int, progress: float) -> float:
    """Factor on the learning rate at `step`, with `progress` 0..1 through the run: the schedule's, times warm-up."""
    warm = min(1.0, (step + 1) / max(1, config.warmup_steps))
    return warm * SCHEDULES[config.lr_schedule](config, step, min(1.0, progress))
