"""The training loop: accelerate, EMA, learning-rate schedule, checkpoints and exact resuming.

Everything random in a step comes from (seed, step, process), so a run that was killed and resumed takes the
same steps as one that was not.
"""

import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast
from diffusers.training_utils import EMAModel
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from tqdm import tqdm

from NFC.errors import UserError
from NFC.files import replacing

STATE_FILE = "state.pt"
SCHEDULES = ("constant", "cosine")
PRECISIONS = {"float32": "no", "bfloat16": "bf16", "float16": "fp16"}  # our names -> accelerate's


@dataclass
class LoopConfig:
    """What every training run needs to know, whatever it trains."""

    output_dir: str = "runs/train"
    max_train_steps: int = 20000
    max_minutes: float = 0.0  # stop after this long, 0: never; the schedule then follows the clock
    batch_size: int = 32
    learning_rate: float = 1e-5
    lr_schedule: str = "constant"  # or "cosine"
    warmup_steps: int = 1
    weight_decay: float = 1e-2
    max_grad_norm: float = 1.0
    ema_decay: float = 0.0  # 0: no moving average
    precision: str = "float32"  # or "bfloat16", "float16": that of the products, weights stay float32
    checkpoint_every: int = 500
    log_every: int = 50
    seed: int = 12580

    def __post_init__(self) -> None:
        for name, choices in (("lr_schedule", SCHEDULES), ("precision", tuple(PRECISIONS))):
            if getattr(self, name) not in choices:
                raise UserError(f"{name} '{getattr(self, name)}' is not one of: {', '.join(choices)}")


def step_generator(seed: int, step: int, process: int = 0) -> torch.Generator:
    """The random numbers of one step of one process."""
    return torch.Generator().manual_seed((seed * 1_000_003 + step) * 1009 + process)


def learning_rate_factor(config: LoopConfig, step: int, progress: float) -> float:
    """Factor on the learning rate at `step`, with `progress` 0..1 through the run."""
    warm = min(1.0, (step + 1) / max(1, config.warmup_steps))
    if config.lr_schedule == "constant":
        return warm
    return warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, progress))))


class Loop:
    """Train `model`, whose forward takes a batch and a generator and returns (loss, {name: scalar}).

    batches: generator of the step -> batch, on any device. export: writes the weights to keep into a folder; it is
    called with the averaged weights in place, at every checkpoint.
    """

    def __init__(
        self,
        model: nn.Module,
        batches: Callable[[torch.Generator], dict[str, Tensor]],
        export: Callable[[Path], None],
        config: LoopConfig,
    ) -> None:
        self.config, self.model, self.batches, self.export = config, model, batches, export
        self.accelerator = Accelerator(cpu=not torch.cuda.is_available(), mixed_precision=PRECISIONS[config.precision])
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(self.parameters, lr=config.learning_rate, weight_decay=config.weight_decay)
        self.wrapped, self.optimizer = self.accelerator.prepare(model, self.optimizer)
        self.ema = EMAModel(self.parameters, decay=config.ema_decay) if config.ema_decay else None
        self.step, self.seconds = 0, 0.0
        self.path = Path(config.output_dir)

    def run(self) -> None:
        """Take steps until `max_train_steps` or `max_minutes`, resuming from the last checkpoint if there is one."""
        self._resume()
        started, before = time.monotonic(), self.seconds
        main = self.accelerator.is_main_process
        bar = tqdm(total=self.config.max_train_steps, initial=self.step, unit="step", disable=not main, mininterval=5)
        averages: dict[str, float] = {}
        while self._progress() < 1:
            for name, value in self._take_step().items():
                averages[name] = value if name not in averages else 0.98 * averages[name] + 0.02 * value
            self.step += 1
            elapsed = torch.tensor(before + time.monotonic() - started, device=self.accelerator.device)
            self.seconds = broadcast(elapsed).item()  # all processes follow one clock
            bar.total = round(self.step / self._progress())  # under max_minutes an estimate
            bar.update()
            if self.step % self.config.log_every == 0:
                bar.set_postfix({name: f"{value:.4f}" for name, value in averages.items()})
            if self.step % self.config.checkpoint_every == 0 or self._progress() >= 1:
                self._checkpoint()
        bar.close()

    def _progress(self) -> float:
        by_steps = self.step / self.config.max_train_steps
        return max(by_steps, self.seconds / 60 / self.config.max_minutes) if self.config.max_minutes else by_steps

    def _attention(self) -> AbstractContextManager:
        """On a CPU, small attentions train faster as plain products than as the fused kernel."""
        on_cpu = self.accelerator.device.type == "cpu"
        return sdpa_kernel(SDPBackend.MATH) if on_cpu else nullcontext()

    def _take_step(self) -> dict[str, float]:
        config = self.config
        generator = step_generator(config.seed, self.step, self.accelerator.process_index)
        factor = learning_rate_factor(config, self.step, self._progress())
        for group in self.optimizer.param_groups:
            group["lr"] = config.learning_rate * factor
        batch = {name: value.to(self.accelerator.device) for name, value in self.batches(generator).items()}
        with self.accelerator.autocast(), self._attention():
            loss, logs = self.wrapped(batch, generator)
        self.accelerator.backward(loss)
        if config.max_grad_norm:
            self.accelerator.clip_grad_norm_(self.parameters, config.max_grad_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.ema:
            self.ema.step(self.parameters)
        return {"loss": loss.item(), **logs}

    def _checkpoint(self) -> None:
        self.accelerator.wait_for_everyone()
        if not self.accelerator.is_main_process:
            return
        state = {
            "step": self.step,
            "seconds": self.seconds,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "ema": self.ema.state_dict() if self.ema else None,
        }
        with replacing(self.path / STATE_FILE) as partial:
            torch.save(state, partial)
        if self.ema:
            self.ema.store(self.parameters)
            self.ema.copy_to(self.parameters)
        self.export(self.path)
        if self.ema:
            self.ema.restore(self.parameters)

    def _resume(self) -> None:
        file = self.path / STATE_FILE
        if not file.is_file():
            return
        state = torch.load(file, map_location="cpu", weights_only=True)
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.ema:
            self.ema.load_state_dict(state["ema"])
            self.ema.to(self.accelerator.device)
        self.step, self.seconds = state["step"], state["seconds"]
