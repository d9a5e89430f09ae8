"""Files of networks: the official ones, whose variant the tensors tell, and ours, whose header says what they hold."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pose2id.config import read_values
from pose2id.errors import UserError
from pose2id.reading.files import fault_of, one_line
from pose2id.reading.safetensors_files import read_metadata, write_safetensors_file
from pose2id.reading.sizes import check_sizes
from pose2id.reading.text import mapping, parse_json
from pose2id.settings.ranges import PIXELS
from pose2id.weights import load_tensors, read_tensors, strip_prefix, weights_file

from .base import Extractor, Preprocessing
from .reid_network import ReIDNetwork
from .sizes import check_numbers, making, show_black

KEY = "pose2id-network-1"  # of the header: one entry


@dataclass(frozen=True)
class Header:
    """What a file that training wrote says of itself: the network's name, its sizes, its preprocessing."""

    network: str
    sizes: dict[str, object]
    preprocessing: Preprocessing


def read_header(path: str | Path) -> Header | None:
    """The header of a file that `write_network` wrote; None for other files. A damaged header raises `UserError`."""
    if Path(path).suffix != ".safetensors" or fault_of(path):
        return None
    try:
        metadata = read_metadata(Path(path))
    except UserError:
        return None  # whoever reads the tensors says what is wrong
    if KEY not in metadata:
        return None
    where = f"{path}: its header cannot be read"
    header = mapping(parse_json(metadata[KEY], where), where, "network", "sizes", "preprocessing")
    record = mapping(header["preprocessing"], where)
    record = {name: tuple(value) if isinstance(value, list) else value for name, value in record.items()}
    mapping(header["sizes"], where)
    try:
        return Header(header["network"], header["sizes"], Preprocessing(**record))
    except (TypeError, ValueError) as error:
        raise UserError(f"{where} ({one_line(error)}); export the network again") from error


def write_network(
    tensors: Mapping[str, Tensor], name: str, sizes: object, preprocessing: Preprocessing, path: Path
) -> None:
    """Write `tensors` (floating ones as float16) with a header from which `build_extractor(name, path)` rebuilds all.

    sizes: a dataclass.
    """
    header = {"network": name, "sizes": asdict(sizes), "preprocessing": asdict(preprocessing)}
    halves = {
        key: tensor.detach().to("cpu", torch.float16 if tensor.is_floating_point() else None)
        for key, tensor in tensors.items()
    }
    write_safetensors_file(halves, path, {KEY: json.dumps(header)})


def build_from_file(
    kind: type[ReIDNetwork], weights: str | Path | None, preset: str, picture_size: Sequence[int] | None = None
) -> Extractor:
    """The network `kind` with the file `weights`, or the preset's own; its variant is told by header or tensors.

    picture_size: height and width of the pictures, where the tensors do not tell and they are not those of most files;
    `UserError` where the header says otherwise, or the tensors do not fit.
    """
    path = weights_file(weights, preset, kind.file_stem())
    tensors = strip_prefix(read_tensors(path))
    header = read_header(path)
    if header is None:
        return build_from_tensors(kind, tensors, path, preset, picture_size)
    if header.network != kind.name:
        raise UserError(f"{path} is a file of {header.network}, not of {kind.name}; name that network")
    said = header.preprocessing.height, header.preprocessing.width
    if picture_size is not None and _height_and_width(picture_size) != said:
        raise UserError(f"{path} says that its pictures are {said[0]} x {said[1]}; leave out picture_size")
    where = f"header of {path}"
    given = read_values(kind.Sizes, header.sizes, where)
    check_numbers(kind, given, f"{where}: sizes")
    check_sizes(header.sizes, len(tensors), where)
    sizes = replace(given, num_classes=0)
    with making(kind.name, where):
        extractor = _filled(kind, lambda: sizes, tensors, path).extractor(header.preprocessing)
        if sizes != replace(kind.Sizes(), num_classes=0):  # official ones are known to make one
            show_black(extractor)
    return extractor


def build_from_tensors(
    kind: type[ReIDNetwork],
    tensors: Mapping[str, Tensor],
    path: str | Path,
    preset: str = "sd15",
    picture_size: Sequence[int] | None = None,
) -> Extractor:
    """The network `kind` with official `tensors`, which came from `path`; picture_size: as above."""

    def sizes() -> Any:
        recognised = kind.recognise(tensors, preset, path)
        if picture_size is None:
            return recognised
        height, width = _height_and_width(picture_size)
        return replace(recognised, height=height, width=width)

    network = _filled(kind, sizes, tensors, path)
    extractor = network.extractor(network.official_preprocessing(preset))
    if picture_size is not None:
        with making(kind.name, f"picture_size {extractor.height} {extractor.width}"):
            show_black(extractor)
    return extractor


def _height_and_width(picture_size: Sequence[int]) -> tuple[int, int]:
    """The two of them; `UserError` for anything else."""
    match [*picture_size]:
        case [height, width] if height in PIXELS and width in PIXELS:
            return height, width
    raise UserError(f"picture_size is {[*picture_size]}; it must be a height and a width, each {PIXELS}")


def _filled(
    kind: type[ReIDNetwork], sizes: Callable[[], object], tensors: Mapping[str, Tensor], path: str | Path
) -> ReIDNetwork:
    """The network of `sizes` with official tensors."""
    try:
        network = kind(sizes())
        translated = network.from_official(tensors)
    except UserError:
        raise
    except Exception as error:  # what tensors and sizes of other networks lead to has no end
        raise UserError(
            f"{path} does not fit: a tensor or size of it has an odd shape ({one_line(error)}); "
            f"use a file of {kind.name}"
        ) from error
    load_tensors(network, translated, path, network.unused_at_test())
    network.lacking = network.state_dict().keys() - translated.keys()
    return network
