"""What every training run needs to know, whatever it trains."""

from dataclasses import dataclass, field

from ..errors import UserError
from ..settings.ranges import BATCH, COUNT, OPTIONAL, RATE, SEED, SHARE, Range, check_ranges

CHOICES = {
    "optimizer": ("adamw", "adamw8bit", "sgd"),
    "lr_schedule": ("constant", "cosine", "step"),
    "precision": ("float32", "bfloat16", "float16"),
}
RANGES = {
    "max_train_steps": COUNT,
    "max_minutes": Range(0, 1e7),
    "batch_size": BATCH,
    "gradient_accumulation": BATCH,
    "momentum": SHARE,
    "learning_rate": RATE,
    "lr_drops": SHARE,
    "lr_drop_factor": SHARE,
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
    optimizer: str = "adamw"  # or "adamw8bit" (needs bitsandbytes), "sgd"
    momentum: float = 0.9  # of sgd
    nesterov: bool = False  # of sgd
    learning_rate: float = 1e-5
    # Factors by the beginning of parameters' names, or of what follows a dot in them: {backbone.: 0.1}
    learning_rate_factors: dict[str, float] = field(default_factory=dict)
    lr_schedule: str = "constant"  # or "cosine", "step"
    lr_drops: list[float] = field(default_factory=list)  # of "step": after which shares of the run the rate drops
    lr_drop_factor: float = 0.1  # by which
    warmup_steps: int = 1
    weight_decay: float = 1e-2
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
        for prefix, factor in self.learning_rate_factors.items():
            if factor not in RATE:
                raise UserError(f"learning_rate_factors: that of '{prefix}' is {factor}; it must be {RATE}")
        if self.nesterov and not self.momentum:
            raise UserError("nesterov needs a momentum above 0")
        if self.lr_schedule == "step" and not self.lr_drops:
            raise UserError("lr_schedule=step needs lr_drops, shares of the run such as [0.5, 0.75]")
