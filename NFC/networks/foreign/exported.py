"""A network in a file of its own: ONNX (.onnx), torch.export (.pt2) or TorchScript (.pt).

Beside `<name>.<suffix>` lies `<name>.yaml`, its preprocessing record. Such a file is a program: run those you trust.
No pickle in it is executed.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from omegaconf import MISSING
from torch import Tensor, nn

from pose2id.config import load_config
from pose2id.errors import UserError
from pose2id.reading.files import foreign_kind, one_line, require_file

from ..base import HALF, Extractor, Preprocessing, measured_extractor
from .program import Program, Signature, fitted

ONNX_TYPES = {
    "tensor(float)": torch.float32,
    "tensor(float16)": torch.float16,
    "tensor(double)": torch.float64,
    "tensor(bfloat16)": torch.bfloat16,
}


@dataclass
class PreprocessingFile:
    """`<name>.yaml`; the fields of `Preprocessing`."""

    height: int = MISSING
    width: int = MISSING
    resize: str = "bilinear"
    mean: list[float] = field(default_factory=lambda: list(HALF))
    std: list[float] = field(default_factory=lambda: list(HALF))
    channel_order: str = "rgb"


class OnnxNetwork(nn.Module):
    """An ONNX graph with one input (B, 3, H, W) and the features as its first output; it runs on the CPU."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        try:
            from onnxruntime import InferenceSession
        except ImportError as error:
            raise UserError(f"{path} needs onnxruntime, which is not installed: pip install onnxruntime") from error
        self.session = InferenceSession(str(path), providers=["CPUExecutionProvider"])
        self.inputs = self.session.get_inputs()

    def signature(self) -> Signature:
        shape = self.inputs[0].shape
        known = tuple(size if isinstance(size, int) else None for size in shape) if shape else None
        names = tuple(each.name for each in self.inputs)
        return Signature(names, known, ONNX_TYPES.get(self.inputs[0].type), self.inputs[0].type)

    def forward(self, images: Tensor) -> Tensor:
        feats, *_ = self.session.run(None, {self.inputs[0].name: images.cpu().numpy()})
        return torch.from_numpy(feats).to(images.device)


class ExportedProgram(nn.Module):
    """A `torch.export` program; it was exported in evaluation mode and knows no other."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        with weights_only():
            exported = torch.export.load(path)
        wanted = set(exported.graph_signature.user_inputs)
        self.inputs = [node for node in exported.graph.nodes if node.op == "placeholder" and node.name in wanted]
        self.program = exported.module()

    def signature(self) -> Signature:
        first = self.inputs[0].meta["val"]
        known = tuple(size if isinstance(size, int) else None for size in first.shape)
        return Signature(tuple(node.name for node in self.inputs), known, first.dtype)

    def forward(self, images: Tensor) -> Tensor:
        return self.program(images)

    def train(self, mode: bool = True) -> "ExportedProgram":
        return self


class TorchScript(nn.Module):
    """A scripted or traced module; which sizes it takes it does not say."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.program = torch.jit.load(path, map_location="cpu")

    def signature(self) -> Signature:
        _, *arguments = self.program.forward.schema.arguments
        needed = tuple(argument.name for argument in arguments if not argument.has_default_value())
        dtypes = [p.dtype for p in self.program.parameters() if p.is_floating_point()]
        return Signature(needed, None, dtypes[0] if dtypes else torch.float32)

    def forward(self, images: Tensor) -> Tensor:
        return self.program(images)


@contextmanager
def weights_only() -> Iterator[None]:
    """`torch.load` refuses to execute pickles, also where torch's own code asks for it."""
    name = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


NETWORK = None  # programs are not trained

LOADERS: dict[str, Callable[[Path], Program]] = {
    ".onnx": OnnxNetwork,
    ".pt2": ExportedProgram,
    ".pt": TorchScript,
}


def build(weights: str | Path | None, preset: str) -> Extractor:
    """The network in the file `weights`, whatever the preset.

    A missing or damaged file, and a network that cannot be given preprocessed pictures, raise `UserError`.
    """
    if weights is None:
        raise UserError("extractor 'file' needs the network: --weights FILE, one of " + ", ".join(LOADERS))
    path = Path(weights)
    if path.suffix not in LOADERS:
        raise UserError(f"{path} is none of {', '.join(LOADERS)}: name the file after its kind")
    require_file(path, "network file")
    record = load_config(PreprocessingFile, path.with_suffix(".yaml"))
    preprocessing = Preprocessing(
        record.height, record.width, record.resize, tuple(record.mean), tuple(record.std), record.channel_order
    )
    try:
        network = LOADERS[path.suffix](path)
        signature = network.signature()
    except UserError:
        raise
    except Exception as error:  # three libraries, each with its own exceptions
        kind = foreign_kind(path)
        reason = f"it is {kind}" if kind else one_line(error)
        raise UserError(f"cannot read the network in {path}: {reason}") from error
    extractor = measured_extractor(fitted(network, signature, preprocessing, path), preprocessing)
    extractor.program = path
    return extractor
