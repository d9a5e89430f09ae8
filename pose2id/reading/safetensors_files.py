"""Safetensors files: read with one line for what is wrong, written with the same bytes every time."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..errors import UserError, printable
from ..files import replacing
from .files import foreign_kind, one_line, require_file
from .torch_files import plain_fault

DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.float8_e5m2: "F8_E5M2",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint64: "U64",
    torch.uint32: "U32",
    torch.uint16: "U16",
    torch.uint8: "U8",
    torch.bool: "BOOL",
    torch.complex64: "C64",
}
ALIGNMENT = 8  # bytes, of the data


def read_safetensors(path: Path, what: str = "file", remedy: str = "get the file again") -> dict[str, Tensor]:
    """All tensors of a file, mapped from disk; `UserError` starting with `what` for one that cannot be read."""
    with _opened(path, what, remedy) as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def read_metadata(path: Path, what: str = "file", remedy: str = "get the file again") -> dict[str, str]:
    """The text that a file says of itself; `UserError` as `read_safetensors`."""
    with _opened(path, what, remedy) as file:
        return file.metadata() or {}


@contextmanager
def _opened(path: Path, what: str, remedy: str) -> Iterator[safe_open]:
    require_file(path, what)
    try:
        with safe_open(path, "pt") as file:
            yield file
    except (OSError, SafetensorError, ValueError, RuntimeError, MemoryError) as error:
        kind = foreign_kind(path)
        reason = f"it is {kind}" if kind else one_line(error)
        end = "" if ":" in kind else f"; {remedy}"
        raise UserError(f"cannot read {what} from {printable(path)}: {reason}{end}") from error


def write_safetensors_file(
    tensors: Mapping[str, Tensor], path: str | Path, metadata: Mapping[str, str] | None = None
) -> None:
    """Write named tensors, whole or not at all; the same tensors and metadata give the same bytes.

    The library puts metadata in another order in every process, and hides the file from other users. Tensors that
    share memory are written one by one, for the format has no notion of sharing. A tensor that the format cannot hold
    raises `UserError`.
    """
    ordered = sorted(tensors.items(), key=lambda item: (-item[1].element_size(), item[0]))
    header: dict[str, object] = {"__metadata__": dict(sorted(metadata.items()))} if metadata else {}
    end = 0
    for name, tensor in ordered:
        if tensor.dtype not in DTYPES or (plain_fault(tensor) and not tensor.is_complex()):
            raise UserError(f"{printable(path)}: tensor {name} of {tensor.dtype} cannot be written as safetensors")
        start, end = end, end + tensor.numel() * tensor.element_size()
        header[name] = {"dtype": DTYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    text += b" " * (-len(text) % ALIGNMENT)
    with replacing(path) as partial, partial.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for _, tensor in ordered:
            file.write(raw_bytes(tensor))


def raw_bytes(tensor: Tensor) -> memoryview:
    """The numbers of a tensor as they lie in a file."""
    flat = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().data
