"""The training loop: accelerate, averaged weights, validation, checkpoints and exact resuming.

Everything random in a step comes from (seed, step, place in the batch), so a run that was killed and resumed takes the
same steps as one that was not, and so do one process and several that share its batch.
"""

import signal
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, gather
from diffusers.training_utils import EMAModel
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from tqdm import tqdm

from ..errors import Terminated, UserError
from ..files import remove_leftovers
from ..processes.locks import locked
from .averaging import averaged
from .log import LossLog
from .optimizers import build_optimizer, parameter_groups
from .part import Part
from .randomness import row_generators, seed_of
from .schedules import learning_rate_factor
from .settings import LoopConfig
from .signals import signals_noted
from .state import (
    STATE_FILE,
    Settings,
    changing_tensors,
    check_finite,
    fixed_settings,
    frozen_names,
    load_changing_tensors,
    of_this_run,
    read_state,
    write_state,
)

Batch = dict[str, Tensor]
Validation = Callable[[Path, int], dict[str, float]]
PRECISIONS = {"float32": "no", "bfloat16": "bf16", "float16": "fp16"}  # our names -> accelerate's


class Loop:
    """Train the parameters of `model` that require gradients when the loop is built.

    Parts may take that from some of them for a while: these are left as they are, and stay in checkpoints.

    batches: generators -> dict of tensors on any device; model: (batch, generators) -> (loss, {name: scalar}), with a
    loss that is a mean over samples. generators: one torch.Generator on the CPU for each of the `batch_size` samples;
    what is drawn from them depends neither on the number of processes nor on gradient accumulation.
    export: writes the weights to keep into a folder, at every checkpoint. validate: (folder, steps taken) ->
    {name: number} to log, every `validate_every` steps. Both are called on the main process with the averaged weights
    in place; with `validate_together`, validate is called on all processes, which may share its work.
    fixed: settings of model and batches that, like those of the loop, may not differ when a run is resumed.
    parts: what else takes part in the run, by name; before a step they are told of it, in this order, and checkpoints
    keep their state.
    """

    def __init__(
        self,
        model: nn.Module,
        batches: Callable[[list[torch.Generator]], Batch],
        export: Callable[[Path], None],
        config: LoopConfig,
        validate: Validation | None = None,
        fixed: Settings | None = None,
        parts: Mapping[str, Part] | None = None,
        validate_together: bool = False,
    ) -> None:
        self.config, self.model, self.batches, self.export, self.validate = config, model, batches, export, validate
        on_gpu = torch.cuda.is_available()
        if config.precision == "float16" and not on_gpu:
            raise UserError("precision=float16 trains on GPUs only; use bfloat16 or float32 here")
        # A network may have parameters that its loss does not depend on.
        parallel = DistributedDataParallelKwargs(find_unused_parameters=True)
        self.accelerator = Accelerator(
            cpu=not on_gpu, mixed_precision=PRECISIONS[config.precision], kwargs_handlers=[parallel]
        )
        trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self.parameters, self.frozen = list(trained.values()), frozen_names(model)
        factors = config.learning_rate_factors, config.weight_decay_factors
        groups = parameter_groups(dict(model.named_parameters()), *factors)
        self.rate_factors = [rate for rate, _ in groups]  # of the optimizer's groups
        optimizer = build_optimizer(
            [{"params": some, "weight_decay": decay * config.weight_decay} for (_, decay), some in groups.items()],
            config,
        )
        self.wrapped, self.optimizer = self.accelerator.prepare(model, optimizer)
        self.ema = EMAModel(self.parameters, decay=config.ema_decay, foreach=on_gpu) if config.ema_decay else None
        self.step, self.seconds = 0, 0.0
        self.asked = self.stopped_by = 0  # the signal to stop that this process got, and that all follow
        self.parts, self.validate_together = dict(parts or {}), validate_together
        self.settings = fixed_settings(config, self.accelerator.num_processes) | (fixed or {})
        for part in self.parts.values():
            self.settings |= part.fixed_settings()
        self.path = Path(config.output_dir)
        self.log = LossLog(self.path, self.accelerator, config.tensorboard)

    def run(self) -> None:
        """Take steps until `max_train_steps` or `max_minutes`, resuming from the last checkpoint if there is one.

        On Ctrl-C or a polite kill the step is finished and a checkpoint written before `KeyboardInterrupt` is raised.
        A run that has taken all of its steps exports once more, for it may have been killed before that. `UserError`
        where another run uses the folder, and for a loss or weights that are not finite: the last checkpoint stays.
        """
        with locked(self.path, here=self.accelerator.is_main_process):
            self._resume()
            if self._progress() >= 1 and self.accelerator.is_main_process:
                self._export()
            self._take_steps()
        if number := self.stopped_by or self.asked:
            raise Terminated if number == signal.SIGTERM else KeyboardInterrupt

    def _take_steps(self) -> None:
        config = self.config
        started, before = time.monotonic(), self.seconds
        main = self.accelerator.is_main_process
        bar = tqdm(total=config.max_train_steps, initial=self.step, unit="step", disable=not main, mininterval=5)
        with bar, signals_noted(partial(setattr, self, "asked")):
            while self._progress() < 1 and not self.stopped_by:
                self._take_step()
                self._agree(before + time.monotonic() - started)
                bar.total = round(self.step / self._progress())  # under max_minutes an estimate
                bar.update()
                last = self._progress() >= 1 or self.stopped_by
                if last or any(map(self._due, (config.log_every, config.validate_every, config.checkpoint_every))):
                    means = self.log.settle()
                    self.log.write(self._validate() if self._due(config.validate_every) else {})
                    bar.set_postfix({name: f"{value:.4f}" for name, value in means.items()})
                if last or self._due(config.checkpoint_every):
                    self._checkpoint()

    def _due(self, every: int) -> bool:
        return every > 0 and self.step % every == 0

    def _progress(self) -> float:
        by_steps = self.step / self.config.max_train_steps
        return max(by_steps, self.seconds / 60 / self.config.max_minutes) if self.config.max_minutes else by_steps

    def _attention(self) -> AbstractContextManager:
        """On a CPU, small attentions train faster as plain products than as the fused kernel."""
        on_cpu = self.accelerator.device.type == "cpu"
        return sdpa_kernel(SDPBackend.MATH) if on_cpu else nullcontext()

    def _take_step(self) -> None:
        config, batches = self.config, self.config.gradient_accumulation
        for part in self.parts.values():
            part.before_step(self.step)
        learning_rate = config.learning_rate * learning_rate_factor(config, self.step, self._progress())
        for group, factor in zip(self.optimizer.param_groups, self.rate_factors, strict=True):
            group["lr"] = factor * learning_rate
        measured: dict[str, Tensor | float] = {}
        for number in range(batches):
            with self.accelerator.no_sync(self.wrapped) if number + 1 < batches else nullcontext():
                for name, value in self._gradients(number).items():
                    measured[name] = measured.get(name, 0.0) + value / batches
        if config.max_grad_norm:
            self.accelerator.clip_grad_norm_(self.parameters, config.max_grad_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.ema:
            self.ema.step(self.parameters)
        self.step += 1
        self.log.add(self.step, {"learning_rate": learning_rate}, measured)

    def _gradients(self, number: int) -> dict[str, Tensor | float]:
        """Add the gradients of one of a step's batches; returns its loss and what else the model measured."""
        config = self.config
        turn = number * self.accelerator.num_processes + self.accelerator.process_index
        rows = range(turn * config.batch_size, (turn + 1) * config.batch_size)
        generators = row_generators(config.seed, self.step, rows)
        torch.manual_seed(seed_of(config.seed, self.step, turn, "network"))  # dropout and the like
        batch = {name: value.to(self.accelerator.device) for name, value in self.batches(generators).items()}
        with self._attention():
            loss, measured = self.wrapped(batch, generators)
            self.accelerator.backward(loss / config.gradient_accumulation)  # recomputes, with gradient checkpointing
        return {"loss": loss.detach(), **measured}

    def _agree(self, seconds: float) -> None:
        """All processes follow one clock and stop together."""
        self.seconds, self.stopped_by = seconds, self.asked
        if self.accelerator.num_processes > 1:
            known = torch.tensor([[seconds, self.asked]], device=self.accelerator.device, dtype=torch.float64)
            self.seconds, number = gather(known).amax(0).tolist()
            self.stopped_by = int(number)

    def _validate(self) -> dict[str, float]:
        self.accelerator.wait_for_everyone()
        if not self.validate or not (self.validate_together or self.accelerator.is_main_process):
            return {}
        with averaged(self.ema, self.parameters):
            return {f"validation/{name}": value for name, value in self.validate(self.path, self.step).items()}

    def _checkpoint(self) -> None:
        tensors = changing_tensors(self.model, self.frozen)
        check_finite(tensors, self.step, self.path)
        self.accelerator.wait_for_everyone()
        if not self.accelerator.is_main_process:
            return
        scaler = self.accelerator.scaler
        state = {
            "step": self.step,
            "seconds": self.seconds,
            "settings": self.settings,
            "model": tensors,
            "optimizer": self.optimizer.state_dict(),
            "ema": self.ema.state_dict() if self.ema else None,
            "scaler": scaler.state_dict() if scaler else None,
            "parts": {name: part.state_dict() for name, part in self.parts.items()},
        }
        write_state(self.path, state)
        self._export()

    def _export(self) -> None:
        with averaged(self.ema, self.parameters):
            self.export(self.path)

    def _resume(self) -> None:
        if self.accelerator.is_main_process:
            remove_leftovers(self.path)
        state = read_state(self.path, self.settings)
        if state:
            with of_this_run(self.path / STATE_FILE):
                load_changing_tensors(self.model, state["model"], self.path / STATE_FILE, self.frozen)
                self.optimizer.load_state_dict(state["optimizer"])
                if self.ema:
                    self.ema.load_state_dict(state["ema"])
                    self.ema.to(self.accelerator.device)
                if state.get("scaler"):
                    self.accelerator.scaler.load_state_dict(state["scaler"])
                for name, kept in state.get("parts", {}).items():
                    if name in self.parts:
                        self.parts[name].load_state_dict(kept)
            self.step, self.seconds = state["step"], state["seconds"]
        if len(set(gather(torch.tensor([self.step], device=self.accelerator.device)).tolist())) > 1:
            raise UserError(
                f"{self.path} is not the same on all machines; name an output_dir on a disk that they share"
            )
        self.log.start(self.step)
