"""Weight files: found, read without executing anything in them, and loaded so that nothing is missed in silence."""

import logging
import pickle
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeVar
from zipfile import is_zipfile

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from .errors import UserError
from .files import replacing
from .presets import default_directory

SUFFIXES = (".safetensors", ".pth", ".pth.tar")
WRAPPERS = ("state_dict", "model")  # keys under which training scripts put the tensors

# What torchreid-style savers put beside the tensors. The config class stands for a plain dictionary.
HARMLESS = [
    (OrderedDict, "yacs.config.CfgNode"),
    (np._core.multiarray.scalar, "numpy._core.multiarray.scalar"),
    (np._core.multiarray.scalar, "numpy.core.multiarray.scalar"),
    np.dtype,
    *(type(np.dtype(kind)) for kind in (np.float64, np.float32, np.int64)),
]

SHOWN = 5  # names of each fault that an error shows

Module = TypeVar("Module", bound=nn.Module)

logger = logging.getLogger(__name__)


def find_weights(directory: str | Path, stem: str) -> Path:
    """The file `<stem>.safetensors`, `.pth` or `.pth.tar` in `directory`; `UserError` when there is none."""
    for suffix in SUFFIXES:
        path = Path(directory) / f"{stem}{suffix}"
        if path.is_file():
            return path
    names = f"{stem}{', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}"
    raise UserError(
        f"no {names} in {directory}: put the weights there (`pose2id download` fetches the official ones), "
        "or name another directory"
    )


def weights_file(weights: str | Path | None, preset: str, stem: str) -> Path:
    """The file a user named, or else the preset's own, see `find_weights`."""
    return Path(weights) if weights else find_weights(default_directory(preset), stem)


def read_tensors(path: str | Path) -> dict[str, Tensor]:
    """All tensors of a `.safetensors` or a torch file, on the CPU; nothing in the file is executed.

    A dictionary that holds them under "state_dict" or "model" is unwrapped. A missing, damaged or foreign file raises
    `UserError`.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"weight file {path} does not exist: check the path, or download the weights first")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with torch.serialization.safe_globals(HARMLESS):
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=is_zipfile(path))
    except pickle.UnpicklingError as error:
        raise UserError(_not_plain(path)) from error
    except Exception as error:  # of damaged files the two readers raise whatever they stumble over
        reason = " ".join(str(error).split("\n")[0].split())[:150]
        reason = reason or type(error).__name__
        raise UserError(f"cannot read weights from {path}: {reason}; get the file again") from error
    return unwrap(content, path)


def _not_plain(path: Path) -> str:
    """What is wrong with a file that is no pickle of plain tensors."""
    with path.open("rb") as file:
        head = file.read(20)
    if not (is_zipfile(path) or head.startswith(pickle.PROTO)):
        return f"cannot read weights from {path}: it starts with {head!r}, as no weight file does; get the file again"
    return (
        f"{path} is damaged, or cannot be read without executing a pickle; get it again, or as plain tensors, or, if "
        f"you trust whoever made it, run: pose2id convert-pickle {path} --i-trust-this-file"
    )


def unwrap(content: object, path: str | Path) -> dict[str, Tensor]:
    """The named tensors of what a torch file held, or `UserError`."""
    for key in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise UserError(f"{path} is not a file of named tensors: save the network's state_dict() there")
    return dict(content)


def write_safetensors(tensors: Mapping[str, Tensor], path: str | Path, dtype: torch.dtype | None = None) -> None:
    """Write named tensors, floating ones as `dtype` where one is given; whoever reads sees the old file or the new one.

    Tensors that share memory are written one by one, for the format has no notion of sharing.
    """
    ready: dict[str, Tensor] = {}
    memory: set[int] = set()
    for name, tensor in tensors.items():
        tensor = tensor.detach().to("cpu", dtype if tensor.is_floating_point() else None).contiguous()
        place = tensor.untyped_storage().data_ptr()
        ready[name] = tensor.clone() if place in memory else tensor
        memory.add(place)
    with replacing(path) as partial:
        save_file(ready, partial)
        partial.chmod(0o644)  # safetensors leaves a file that others cannot read


def strip_prefix(tensors: Mapping[str, Tensor], prefix: str = "module.") -> dict[str, Tensor]:
    """Names without `prefix` where they have it; data-parallel training leaves `module.`."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}


def name_list(names: Iterable[str], limit: int = 10) -> str:
    """The first `limit` names, sorted, with a mark when there are more."""
    names = sorted(names)
    return ", ".join(names[:limit]) + (", ..." if len(names) > limit else "")


def load_tensors(
    network: nn.Module, tensors: Mapping[str, Tensor], path: str | Path, training_only: tuple[str, ...] = ()
) -> None:
    """Load `tensors`, in the names of `network`, so that every tensor the test feature needs is there, in its dtype.

    Names that start with one of `training_only`, and batch counters, do not matter: they may be missing, of another
    shape (another class count) or unknown to the network; those not used are logged. Any other missing, mis-shaped or
    unknown tensor raises `UserError` in one line that names `path`. A network on the device "meta" takes the tensors
    themselves, and lacks none.
    """
    wanted = network.state_dict()
    on_meta = any(tensor.is_meta for tensor in wanted.values())
    fitting = {
        name: tensor.to(wanted[name].dtype)
        for name, tensor in tensors.items()
        if name in wanted and tensor.shape == wanted[name].shape
    }

    def matters(name: str) -> bool:
        return on_meta or not (name.startswith(training_only) or name.endswith("num_batches_tracked"))

    if faults := _faults(wanted, tensors, matters):
        raise UserError(
            f"{path} does not fit, of {len(wanted)} tensors of {type(network).__name__}: {faults}; "
            "use a file of this network and size"
        )
    if unused := tensors.keys() - fitting.keys():
        logger.info("%s: %d training-only tensors not used (%s)", path, len(unused), name_list(unused))
    network.load_state_dict(fitting, strict=False, assign=on_meta)


def _faults(wanted: Mapping[str, Tensor], found: Mapping[str, Tensor], matters: Callable[[str], bool]) -> str:
    """How many names that matter are missing, of another shape or unknown, with the first of each; "" for none."""
    faults = {
        "missing": [name for name in wanted if name not in found and matters(name)],
        "of another shape": [
            f"{name} is {tuple(found[name].shape)}, not {tuple(wanted[name].shape)}"
            for name in wanted
            if name in found and found[name].shape != wanted[name].shape and matters(name)
        ],
        "unknown": [name for name in found if name not in wanted and matters(name)],
    }
    return "; ".join(f"{len(names)} {fault} ({name_list(names, SHOWN)})" for fault, names in faults.items() if names)


def load_module(build: Callable[[], Module], path: str | Path) -> Module:
    """`build()` with the tensors of a file, see `load_tensors`; no time is spent on random initialisation."""
    with torch.device("meta"):
        module = build()
    load_tensors(module, read_tensors(path), path)
    return module
