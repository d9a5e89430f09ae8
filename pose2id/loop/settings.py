"""What every training run needs to know, whatever it trains."""

from dataclasses import dataclass

from ..errors import UserError
from ..ranges import BATCH, COUNT, OPTIONAL, RATE, SEED, SHARE, Range, check_ranges

CHOICES = {
    "optimizer": ("adamw", "adamw8bit", "sgd"),
    "lr_schedule": ("constant", "cosine"),
    "precision": ("float32", "bfloat16", "float16"),
}
RANGES = {
    "max_train_steps": COUNT,
    "max_minutes": Range(0, 1e7),
    "batch_size": BATCH,
    "gradient_accumulation": BATCH,
    "momentum": SHARE,
    "learning_rate": RATE,
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
    learning_rate: float = 1e-5
    lr_schedule: str = "constant"  # or "cosine"
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
