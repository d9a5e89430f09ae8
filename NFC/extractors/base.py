"""What every extractor offers, and how its weights are read from files."""

import logging
import pickle
from collections.abc import Iterable, Mapping
from pathlib import Path
from zipfile import is_zipfile

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from ..errors import UserError

PRETRAINED = Path(__file__).resolve().parents[2] / "pretrained"
SUFFIXES = (".safetensors", ".pth")

logger = logging.getLogger(__name__)


class Extractor(nn.Module):
    """A ReID network with its preprocessing: pictures of `height` x `width`, features of `feature_dim` numbers."""

    def __init__(self, network: nn.Module, feature_dim: int, height: int, width: int) -> None:
        super().__init__()
        self.network = network
        self.feature_dim, self.height, self.width = feature_dim, height, width

    def preprocess(self, picture: Image.Image) -> Tensor:
        """Any PIL picture -> (3, height, width) float32 RGB in [-1, 1], Lanczos-resized (mean 0.5, std 0.5)."""
        return picture_tensor(picture, self.height, self.width) * 2 - 1

    def forward(self, images: Tensor, camids: Tensor | None = None) -> Tensor:
        """(B, 3, height, width) in [-1, 1] and, where the network uses them, zero-based camids -> (B, feature_dim)."""
        return self.network(images) if camids is None else self.network(images, camids)


def picture_tensor(picture: Image.Image, height: int, width: int) -> Tensor:
    """Any PIL picture -> (3, height, width) float32 RGB in [0, 1], resized with the Lanczos filter."""
    resized = picture.convert("RGB").resize((width, height), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.array(resized)).permute(2, 0, 1).float() / 255


def default_directory(preset: str) -> Path:
    """Where a preset's weights lie: `pretrained/` for the official files, `pretrained/<preset>/` for ours."""
    return PRETRAINED if preset == "sd15" else PRETRAINED / preset


def find_weights(directory: str | Path, stem: str) -> Path:
    """The file `<stem>.safetensors` or `<stem>.pth` in `directory`; `UserError` when there is neither."""
    for suffix in SUFFIXES:
        path = Path(directory) / f"{stem}{suffix}"
        if path.is_file():
            return path
    names = " or ".join(f"{stem}{suffix}" for suffix in SUFFIXES)
    raise UserError(
        f"no {names} in {directory}: put the weights there (scripts/download_weights.py fetches the official ones), "
        "or name another directory"
    )


def read_tensors(path: str | Path) -> dict[str, Tensor]:
    """All tensors of a `.safetensors` or a torch file, on the CPU; nothing in the file is executed.

    A missing, damaged or foreign file raises `UserError`.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"weight file {path} does not exist: check the path, or download the weights first")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=is_zipfile(path))
    except (OSError, EOFError, RuntimeError, ValueError, KeyError, pickle.UnpicklingError, SafetensorError) as error:
        reason = " ".join(str(error).split("\n")[0].split())[:150]
        reason = reason or type(error).__name__
        raise UserError(f"cannot read weights from {path}: {reason}; get the file again") from error
    content = content.get("state_dict", content) if isinstance(content, Mapping) else content
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise UserError(f"{path} is not a file of named tensors: save the network's state_dict() there")
    return dict(content)


def name_list(names: Iterable[str], limit: int = 10) -> str:
    """The first `limit` names, sorted, with a mark when there are more."""
    names = sorted(names)
    return ", ".join(names[:limit]) + (", ..." if len(names) > limit else "")


def load_tolerant(network: nn.Module, path: str | Path, optional: tuple[str, ...]) -> None:
    """Load the tensors the test feature needs from a file that may hold more or less.

    Names that start with one of `optional` may be missing or of another shape; a missing or mis-shaped other one raises
    `UserError`. A `module.` prefix is dropped. Tensors of the file that are not used are logged.
    """
    tensors = {name.removeprefix("module."): tensor for name, tensor in read_tensors(path).items()}
    wanted = network.state_dict()
    fitting = {name: t for name, t in tensors.items() if name in wanted and t.shape == wanted[name].shape}
    lacking = [name for name in wanted if name not in fitting and not name.startswith(optional)]
    if lacking:
        raise UserError(
            f"{path} does not fit: {len(lacking)} of {len(wanted)} tensors are missing or of another shape "
            f"({name_list(lacking)}); use the file of this network and preset"
        )
    if unused := tensors.keys() - fitting.keys():
        logger.info("%s: %d tensors not used (%s)", path, len(unused), name_list(unused))
    network.load_state_dict(fitting, strict=False)
