"""The state file of a training run: everything needed to take the same steps as a run that was never stopped."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..errors import UserError
from ..files import replacing
from ..reading.files import one_line, require_file
from ..reading.torch_files import check_tensor, read_torch
from .settings import LoopConfig

STATE_FILE = "state.pt"
REMEDY = "delete it to start anew"
STATE = {"step": int, "seconds": int | float, "model": Mapping, "optimizer": Mapping}
MOST_STEPS = 10**12
FIXED = (
    *("seed", "learning_rate", "lr_schedule", "warmup_steps", "optimizer", "momentum", "weight_decay"),
    *("max_grad_norm", "ema_decay", "precision", "nesterov", "learning_rate_factors", "lr_drops", "lr_drop_factor"),
    *("lr_end", "lr_power", "lr_pieces", "lr_gamma", "weight_decay_factors"),
)
# What runs had that were begun before these were settings.
BEFORE = {
    "nesterov": False,
    "learning_rate_factors": "{}",
    "lr_drops": "[]",
    "lr_end": 0.001,
    "lr_power": 0.9,
    "lr_pieces": 0,
    "lr_gamma": 1e-4,
    "weight_decay_factors": "{}",
}


Settings = dict[str, str | int | float]


def fixed_settings(config: LoopConfig, processes: int) -> Settings:
    """The settings that may not change within a run, because they change its result."""
    values = {name: getattr(config, name) for name in FIXED}
    settings = {name: value if isinstance(value, str | int | float) else str(value) for name, value in values.items()}
    return settings | {
        "batch_size x gradient_accumulation x processes": config.batch_size * config.gradient_accumulation * processes
    }


def named_settings(section: str, values: Mapping[str, object]) -> Settings:
    """`values` as settings called "section.name"."""
    return {
        f"{section}.{name}": value if isinstance(value, int | float) else str(value) for name, value in values.items()
    }


def frozen_names(model: nn.Module) -> set[str]:
    """The names of the parameters that do not learn."""
    return {name for name, parameter in model.named_parameters() if not parameter.requires_grad}


def changing_tensors(model: nn.Module, frozen: set[str]) -> dict[str, torch.Tensor]:
    """The model's state without the parameters `frozen`, which a run is given anew."""
    return {name: tensor for name, tensor in model.state_dict().items() if name not in frozen}


def check_finite(tensors: Mapping[str, torch.Tensor], step: int, folder: Path) -> None:
    """`UserError` if a tensor after `step` holds NaN or infinity; `folder` then keeps what it has."""
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise UserError(
                f"'{name}' is not finite after step {step}: training stops, and {folder} keeps its last checkpoint; "
                "take a lower learning_rate or another precision, in another output_dir"
            )


def load_changing_tensors(model: nn.Module, tensors: dict[str, torch.Tensor], path: Path, frozen: set[str]) -> None:
    """Put what `changing_tensors` returned back; `UserError` naming `path` if it is not of this model."""
    try:
        missing, unexpected = model.load_state_dict(tensors, strict=False)
    except RuntimeError as error:
        raise UserError(f"{path} is of a network of other sizes; use another output_dir, or delete it") from error
    if wrong := sorted((set(missing) - frozen) | set(unexpected)):
        raise UserError(f"{path} is of another network ('{wrong[0]}'); use another output_dir, or delete it")


def write_state(folder: Path, state: dict) -> None:
    with replacing(folder / STATE_FILE) as partial:
        torch.save(state, partial)


def read_state(folder: Path, settings: Settings) -> dict | None:
    """What `write_state` wrote into `folder`, or None; executes nothing that it reads.

    Raises `UserError` if the file is damaged or comes from a run whose `settings` (as in `fixed_settings`) differ.
    """
    path = folder / STATE_FILE
    if not path.exists():
        return None
    require_file(path, "state", REMEDY)
    try:
        state: Any = read_torch(path)
    except UserError as error:
        raise UserError(f"{path} is damaged; {REMEDY}") from error
    _check(state, path)
    for name, before in {**BEFORE, **_part(state, "settings", path)}.items():
        now = settings.get(name, before)
        if now != before:
            raise UserError(
                f"{path} comes from a run with {name}={before}, not {now}; "
                f"go on with {before}, or use another output_dir"
            )
    return state


@contextmanager
def of_this_run(path: Path) -> Iterator[None]:
    """Whatever fails while parts of the state at `path` are put back is a `UserError`: it is of something else."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # optimizers and the like raise what they stumble over
        raise UserError(
            f"{path} is not of this run ({one_line(error)}); use another output_dir, or {REMEDY}"
        ) from error


def _check(state: Any, path: Path) -> None:
    """`UserError` unless a state is what `Loop` puts into one."""
    for name, kind in STATE.items():
        if not isinstance(state, Mapping) or not isinstance(state.get(name), kind):
            raise UserError(f"{path} holds no state of a training run ('{name}' is missing or odd); {REMEDY}")
    if not 0 <= state["step"] <= MOST_STEPS or {"state", "param_groups"} - state["optimizer"].keys():
        raise UserError(f"{path} holds no state of a training run (its step or optimizer is odd); {REMEDY}")
    for name in ("settings", "scaler", "ema", "parts"):
        _part(state, name, path)
    for name, tensor in state["model"].items():
        if not isinstance(name, str) or not isinstance(tensor, torch.Tensor):
            raise UserError(f"{path} holds no state of a training run (its model has '{name}'); {REMEDY}")
        check_tensor(tensor, f"tensor {name} of {path}")


def _part(state: Mapping, name: str, path: Path) -> Mapping:
    """The mapping `name` of a state; states of before it was kept have none."""
    part = state.get(name) or {}
    if not isinstance(part, Mapping):
        raise UserError(f"{path} holds no state of a training run ('{name}' is odd); {REMEDY}")
    return part
