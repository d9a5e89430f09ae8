"""Weight files: found, read without executing anything in them, and loaded so that nothing is missed in silence."""

import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ..errors import UserError
from ..presets import default_directory
from ..reading.files import require_file
from ..reading.safetensors_files import read_safetensors, write_safetensors_file
from ..reading.torch_files import NotPlain, check_tensor, read_torch
from ..reading.torch_files import unwrap as unwrapped

SUFFIXES = (".safetensors", ".pth", ".pth.tar")
# Keys under which training scripts put the tensors, and what wrappers of networks put before their names.
WRAPPERS = ("state_dict", "model", "model_state_dict", "net", "network")
PARALLEL, COMPILED, WHOLE = "module.", "_orig_mod.", "model."

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

    A dictionary that holds them under one of `WRAPPERS` is unwrapped. A missing, damaged or foreign file, and one with
    tensors that are no plain arrays of real numbers, raise `UserError`.
    """
    path = require_file(path, "weight file", "check the path, or download the weights first")
    if path.suffix == ".safetensors":
        return _checked(read_safetensors(path, "weights"), path)
    try:
        return unwrap(read_torch(path, "weights"), path)
    except NotPlain as error:
        raise UserError(
            f"{error}; get it again, or as plain tensors, or, if you trust whoever made it, run: "
            f"pose2id convert-pickle {path} --i-trust-this-file"
        ) from error


def unwrap(content: object, path: str | Path) -> dict[str, Tensor]:
    """The named tensors of what a torch file held, or `UserError`.

    Of several networks side by side, each in a dictionary of its own, a name begins with the key of its dictionary.
    """
    content = side_by_side(unwrapped(content, WRAPPERS))
    if not isinstance(content, Mapping) or not content or not all(isinstance(v, Tensor) for v in content.values()):
        raise UserError(f"{path} is not a file of named tensors: save the network's state_dict() there")
    return _checked(content, path)


def side_by_side(content: object) -> object:
    """{"a": {"x": tensor}, "b": {"y": tensor}, "epoch": 3} -> {"a.x": tensor, "b.y": tensor}; all else as it is.

    Numbers and texts that were noted beside tensors, or beside such dictionaries, are left out.
    """
    if not isinstance(content, Mapping):
        return content
    kept = {key: value for key, value in content.items() if not isinstance(value, int | float | str)}
    if len(kept) < 2 or not all(isinstance(key, str) and isinstance(value, Mapping) for key, value in kept.items()):
        return kept
    tensors = {f"{key}.{name}": tensor for key, inner in kept.items() for name, tensor in inner.items()}
    return tensors if all(isinstance(tensor, Tensor) for tensor in tensors.values()) else content


def _checked(tensors: Mapping[Any, Tensor], path: str | Path) -> dict[str, Tensor]:
    """`tensors`, if all have names and are plain arrays of real numbers."""
    if unnamed := [name for name in tensors if not isinstance(name, str)]:
        raise UserError(f"{path} has a tensor named {unnamed[0]!r}, which is no text; save the network's state_dict()")
    return {name: check_tensor(tensor, f"tensor {name} of {path}") for name, tensor in tensors.items()}


def write_safetensors(tensors: Mapping[str, Tensor], path: str | Path, dtype: torch.dtype | None = None) -> None:
    """Write named tensors, floating ones as `dtype` where one is given; see `write_safetensors_file`."""
    ready = {name: t.detach().to("cpu", dtype if t.is_floating_point() else None) for name, t in tensors.items()}
    write_safetensors_file(ready, path)


def strip_prefix(tensors: Mapping[str, Tensor], prefix: str = PARALLEL) -> dict[str, Tensor]:
    """Names without what wrappers put before them.

    Data-parallel training leaves `module.` (`prefix`), once or more, and `torch.compile` `_orig_mod.`; a whole network
    that was kept as `model` leaves `model.` before every name.
    """
    stripped = {}
    for name, tensor in tensors.items():
        short = name.replace(COMPILED, "")
        while prefix and short.startswith(prefix):
            short = short.removeprefix(prefix)
        stripped[short] = tensor
    if len(stripped) < len(tensors):
        raise UserError(f"tensors of one name stand there with and without '{prefix}'; save one network alone")
    if stripped and all(name.startswith(WHOLE) for name in stripped):
        return strip_prefix({name.removeprefix(WHOLE): tensor for name, tensor in stripped.items()}, prefix)
    return stripped


def name_list(names: Iterable[str], limit: int = 10) -> str:
    """The first `limit` names, sorted, with a mark when there are more."""
    names = sorted(names)
    return ", ".join(names[:limit]) + (", ..." if len(names) > limit else "")


def load_tensors(
    network: nn.Module, tensors: Mapping[str, Tensor], path: str | Path, training_only: tuple[str, ...] = ()
) -> None:
    """Load `tensors`, in the names of `network`, so that every tensor the test feature needs is there, in its dtype.

    These have to be finite, and floating point where those of the network are. Names that start with one of
    `training_only`, and batch counters, do not matter: they may be missing, of another shape (another class count) or
    unknown to the network; those not used are logged. Any other missing, unfitting or unknown tensor raises `UserError`
    in one line that names `path`. A network on the device "meta" takes the tensors themselves, and lacks none.
    """
    wanted = network.state_dict()
    on_meta = any(tensor.is_meta for tensor in wanted.values())
    fitting = {
        name: tensor.to(wanted[name].dtype)
        for name, tensor in tensors.items()
        if name in wanted and tensor.shape == wanted[name].shape
    }

    def ignored(name: str) -> bool:
        return name.startswith(training_only) or name.endswith("num_batches_tracked")

    if faults := _faults(wanted, tensors, lambda name: on_meta or not ignored(name), ignored):
        raise UserError(
            f"{path} does not fit, of {len(wanted)} tensors of {type(network).__name__}: {faults}; "
            "use a file of this network and size"
        )
    if unused := tensors.keys() - fitting.keys():
        logger.warning("%s: %d training-only tensors not used (%s)", path, len(unused), name_list(unused))
    network.load_state_dict(fitting, strict=False, assign=on_meta)


def _faults(
    wanted: Mapping[str, Tensor],
    found: Mapping[str, Tensor],
    matters: Callable[[str], bool],
    ignored: Callable[[str], bool],
) -> str:
    """How many names that matter are missing, of another shape or unknown, with the first of each; "" for none."""
    both = [name for name in wanted if name in found and matters(name)]
    fitting = [name for name in both if found[name].shape == wanted[name].shape]
    faults = {
        "missing": [name for name in wanted if name not in found and matters(name)],
        "of another shape": [
            f"{name} is {tuple(found[name].shape)}, not {tuple(wanted[name].shape)}"
            for name in both
            if found[name].shape != wanted[name].shape
        ],
        "of another type": [
            f"{name} is {found[name].dtype}, not {wanted[name].dtype}"
            for name in fitting
            if wanted[name].is_floating_point() and not found[name].is_floating_point()
        ],
        "with NaN or infinity": [name for name in fitting if not _finite(found[name], wanted[name].dtype)],
        "unknown": [name for name in found if name not in wanted and not ignored(name)],
    }
    return "; ".join(f"{len(names)} {fault} ({name_list(names, SHOWN)})" for fault, names in faults.items() if names)


def _finite(tensor: Tensor, dtype: torch.dtype) -> bool:
    """Whether all numbers are finite, also once they are of `dtype`."""
    if not tensor.is_floating_point() or not tensor.numel() or tensor.is_meta:
        return True
    tensor = tensor if tensor.element_size() > 1 else tensor.float()  # eight bits know no maximum
    return bool(torch.stack(tensor.aminmax()).to(dtype).isfinite().all())


def load_module(build: Callable[[], Module], path: str | Path) -> Module:
    """`build()` with the tensors of a file, see `load_tensors`; no time is spent on random initialisation."""
    with torch.device("meta"):
        module = build()
    load_tensors(module, strip_prefix(read_tensors(path)), path)
    return module
