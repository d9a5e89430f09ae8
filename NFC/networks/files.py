"""Files of networks: the official ones, whose variant the tensors tell, and ours, whose header says what they hold."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from pose2id.config import read_values
from pose2id.errors import UserError
from pose2id.files import replacing
from pose2id.weights import load_tensors, read_tensors, strip_prefix, weights_file

from .base import Extractor, Preprocessing
from .reid_network import ReIDNetwork

KEY = "pose2id-network-1"  # of the header: one entry, for the order of several differs from file to file


@dataclass(frozen=True)
class Header:
    """What a file that training wrote says of itself: the network's name, its sizes, its preprocessing."""

    network: str
    sizes: dict[str, object]
    preprocessing: Preprocessing


def read_header(path: str | Path) -> Header | None:
    """The header of a file that `write_network` wrote; None for other files. A damaged header raises `UserError`."""
    if Path(path).suffix != ".safetensors" or not Path(path).is_file():
        return None
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
    except SafetensorError:
        return None  # whoever reads the tensors says what is wrong
    if KEY not in metadata:
        return None
    try:
        header = json.loads(metadata[KEY])
        record = header["preprocessing"]
        record |= {name: tuple(record[name]) for name in ("mean", "std")}
        return Header(header["network"], header["sizes"], Preprocessing(**record))
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: its header cannot be read ({error!r}); export the network again") from error


def write_network(
    tensors: Mapping[str, Tensor], name: str, sizes: object, preprocessing: Preprocessing, path: Path
) -> None:
    """Write `tensors` (floating ones as float16) with a header from which `build_extractor(name, path)` rebuilds all.

    sizes: a dataclass.
    """
    header = {"network": name, "sizes": asdict(sizes), "preprocessing": asdict(preprocessing)}
    halves = {
        key: tensor.detach().to("cpu", torch.float16 if tensor.is_floating_point() else None).clone().contiguous()
        for key, tensor in tensors.items()
    }
    with replacing(path) as partial:
        save_file(halves, partial, metadata={KEY: json.dumps(header)})
        partial.chmod(0o644)


def build_from_file(kind: type[ReIDNetwork], weights: str | Path | None, preset: str) -> Extractor:
    """The network `kind` with the file `weights`, or the preset's own; its variant is told by header or tensors."""
    path = weights_file(weights, preset, kind.file_stem())
    tensors = strip_prefix(read_tensors(path))
    header = read_header(path)
    if header is None:
        return build_from_tensors(kind, tensors, path, preset)
    if header.network != kind.name:
        raise UserError(f"{path} is a file of {header.network}, not of {kind.name}; name that network")
    sizes = replace(read_values(kind.Sizes, header.sizes, f"header of {path}"), num_classes=0)
    return _filled(kind(sizes), tensors, path).extractor(header.preprocessing)


def build_from_tensors(
    kind: type[ReIDNetwork], tensors: Mapping[str, Tensor], path: str | Path, preset: str = "sd15"
) -> Extractor:
    """The network `kind` with official `tensors`, which came from `path`."""
    network = _filled(kind(kind.recognise(tensors, preset, path)), tensors, path)
    return network.extractor(network.official_preprocessing(preset))


def _filled(network: ReIDNetwork, tensors: Mapping[str, Tensor], path: str | Path) -> ReIDNetwork:
    """The network with official tensors."""
    try:
        translated = network.from_official(tensors)
    except (RuntimeError, ValueError) as error:  # a matrix that cannot be cut into the parts that it should have
        raise UserError(f"{path} does not fit: a tensor has an odd shape; use a file of {network.name}") from error
    load_tensors(network, translated, path, network.unused_at_test())
    return network
