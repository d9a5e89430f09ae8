"""What every training run needs to know, whatever it trains."""

from dataclasses import dataclass, field

from ..errors import UserError
from ..settings.ranges import BATCH, COUNT, OPTIONAL, RATE, SEED, SHARE, Range, check_ranges
from .optimizers import OPTIMIZERS
from .schedules import SCHEDULES

CHOICES = {
    "optimizer": tuple(OPTIMIZERS),
    "lr_schedule": tuple(SCHEDULES),
    "precision": ("float32", "bfloat16", "float16"),
}
FACTORS = ("learning_rate_factors", "weight_decay_factors")
RANGES = {
    "max_train_steps": COUNT,
    "max_minutes": Range(0, 1e7),
    "batch_size": BATCH,
    "gradient_accumulation": BATCH,
    "momentum": SHARE,
    "learning_rate": RATE,
    "lr_drops": SHARE,
    "lr_drop_factor": SHARE,
    "lr_end": Range(0, 1, above=True),
    "lr_power": RATE,
    "lr_pieces": OPTIONAL,
    "lr_gamma": RATE,
    "warmup_steps": OPTIONAL,
    "weight_decay": RATE,
    "max_grad_norm": Range(0, 1e9),
    "ema_decay": SHARE,
    "checkpoint_every": COUNT,
    "log_every": COUNT,
    "validate_every": OPTIONAL,
    "seed": SEED,
}


@dataclass
class LoopConfig:
    """Settings of `Loop`. A step sees `batch_size` x `gradient_accumulation` x number of processes samples."""

    output_dir: str = "runs/train"
    max_train_steps: int = 20000
    max_minutes: float = 0.0  # stop after this long, 0: never; the schedule then follows the clock
    batch_size: int = 32  # samples that a process computes at once
    gradient_accumulation: int = 1  # so many batches a step
    optimizer: str = "adamw"  # or "adamw8bit" (needs bitsandbytes), "sgd", "adam", "rmsprop"
    momentum: float = 0.9  # of sgd; of rmsprop the decay of its mean squares
    nesterov: bool = False  # of sgd
    learning_rate: float = 1e-5
    # Factors by the beginning of parameters' names, or of what follows a dot in them: {backbone.: 0.1}
    learning_rate_factors: dict[str, float] = field(default_factory=dict)
    lr_schedule: str = "constant"  # or "cosine", "step", "exponential", "polynomial", "inverse"
    # Of "step": after which shares of the run the rate drops; of "exponential" one share, from which on it falls
    lr_drops: list[float] = field(default_factory=list)
    lr_drop_factor: float = 0.1  # by which it drops
    lr_end: float = 0.001  # of "exponential": the share of the rate that is left at the end
    lr_power: float = 0.9  # of "polynomial", (1 - progress)^power, and "inverse", (1 + gamma step)^-power
    lr_pieces: int = 0  # of "polynomial": progress counts in so many equal pieces, 0: smoothly
    lr_gamma: float = 1e-4  # of "inverse"
    warmup_steps: int = 1
    weight_decay: float = 1e-2  # decoupled in adamw and adamw8bit, a part of the gradient in the others
    weight_decay_factors: dict[str, float] = field(default_factory=dict)  # likewise: {bias: 0}
    max_grad_norm: float = 1.0  # 0: gradients are not clipped
    ema_decay: float = 0.0  # 0: no moving average
    precision: str = "float32"  # or "bfloat16", "float16": that of the products, weights stay float32
    checkpoint_every: int = 500
    log_every: int = 50
    validate_every: int = 0  # 0: never
    tensorboard: bool = False  # curves for TensorBoard, besides losses.jsonl
    seed: int = 12580

    def __post_init__(self) -> None:
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise UserError(f"{name} '{getattr(self, name)}' is not one of: {', '.join(choices)}")
        check_ranges(self, RANGES)
        for name in FACTORS:
            for prefix, factor in getattr(self, name).items():
                if factor not in RATE:
                    raise UserError(f"{name}: that of '{prefix}' is {factor}; it must be {RATE}")
        if self.nesterov and not self.momentum:
            raise UserError("nesterov needs a momentum above 0")
        if self.lr_schedule == "step" and not self.lr_drops:
            raise UserError("lr_schedule=step needs lr_drops, shares of the run such as [0.5, 0.75]")
        if self.lr_schedule == "exponential" and not (len(self.lr_drops) == 1 and self.lr_drops[0] < 1):
            raise UserError("lr_schedule=exponential needs lr_drops of one share of the run, below 1, such as [0.5]")
