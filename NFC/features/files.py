"""Feature files: safetensors whose JSON header says what made them, so that they are used again only where they fit.

`<folder>/query.safetensors` holds `feats` (N, d) float32 with `pids` and `camids` (N,) int64. While they are extracted,
the shards so far lie in `query.safetensors.parts/`; a run that was stopped goes on after the last of them.
"""

import hashlib
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch
from accelerate.utils import gather_object
from PIL import Image
from torch import Tensor

from pose2id.devices import this_process
from pose2id.errors import UserError
from pose2id.files import fingerprint, remove_leftovers
from pose2id.pictures import reading, status
from pose2id.processes.locks import locked
from pose2id.reading.safetensors_files import read_metadata, read_safetensors, write_safetensors_file

from ..networks.base import Extractor
from .extraction import Precision, told_at_once

FORMAT = "pose2id-features-1"
REMEDY = "make the file again"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Origin:
    """What decides the features in a file, all as text, and the header of the file."""

    extractor: str
    weights: str  # fingerprints are the first 16 digits of a SHA-256
    preprocessing: str
    precision: str
    flip: str
    dataset: str = ""
    pictures: str = ""
    keypoints: str = ""  # of original pictures, where the network is told them
    generated_keypoints: str = ""  # of generated ones
    parsing: str = ""  # label maps of the pictures, where the network is shown them
    own_size: str = ""  # "true" where pictures keep their proportions
    format: str = FORMAT

    def differences(self, other: "Origin") -> list[str]:
        """Names of the fields that differ."""
        return [field.name for field in fields(self) if getattr(self, field.name) != getattr(other, field.name)]


def describe_network(
    name: str, extractor: Extractor, precision: Precision = Precision.float32, flip: bool = False
) -> Origin:
    """The part of an origin that is about the network: name, tensors (and program), preprocessing, keypoint files."""
    weights = hashlib.sha256()
    for key, tensor in sorted(extractor.state_dict().items()):
        weights.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}".encode())
        weights.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    if program := extractor.program:
        beside = program.with_name(f"{program.name}.data")  # tensors of a large ONNX file
        weights.update(_fingerprint([program, beside] if beside.is_file() else [program]).encode())
    noise = np.random.default_rng(0).integers(0, 256, (96, 48, 3), dtype=np.uint8)
    prepared = extractor.preprocess(Image.fromarray(noise)).contiguous()
    preprocessing = hashlib.sha256(f"{tuple(prepared.shape)}".encode() + prepared.numpy().tobytes())
    digests = (digest.hexdigest()[:16] for digest in (weights, preprocessing))
    folder, of_poses = extractor.keypoints, extractor.generated_keypoints
    files = [folder] if folder and folder.is_file() else sorted(folder.glob("*/*_keypoints.json")) if folder else []
    return Origin(
        *(name, *digests, precision.value, str(flip).lower()),
        keypoints=_fingerprint(files) if folder else "",
        generated_keypoints=_fingerprint([of_poses]) if of_poses else "",
        own_size="true" if extractor.own_size else "",
    )


def _fingerprint(files: Sequence[Path]) -> str:
    """Of the names and contents of files, wherever they lie."""
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{fingerprint(path)}\n".encode())
    return digest.hexdigest()[:16]


def describe_pictures(
    network: Origin, dataset: str, root: Path, paths: Sequence[Path], camids: Sequence[int] | None
) -> Origin:
    """`network` with the data set's name and a fingerprint of a list of pictures: names, sizes, times, cameras.

    Keypoints do not matter to generated pictures, camids=None, and those of poses not to the others. Raises `UserError`
    naming the pictures that are not there.
    """
    digest = hashlib.sha256(reading().encode())
    found = [_status(path) for path in paths]
    if absent := [error for error in found if isinstance(error, UserError)]:
        raise told_at_once(absent)
    for index, (path, own) in enumerate(zip(paths, found, strict=True)):
        name = path.relative_to(root) if path.is_relative_to(root) else path
        line = f"{name.as_posix()} {own.st_size} {own.st_mtime_ns} {camids[index] if camids else ''}\n"
        digest.update(os.fsencode(line))
    others = {"generated_keypoints": ""} if camids else {"keypoints": ""}
    return replace(network, dataset=dataset, pictures=digest.hexdigest()[:16], **others)


def _status(path: Path) -> os.stat_result | UserError:
    try:
        return status(path)
    except UserError as error:
        return error


def through_file(
    path: Path,
    origin: Origin,
    beside: Mapping[str, Tensor],
    extract: Callable[[int], Iterator[Tensor]],
) -> Tensor:
    """The features (N, d) in `path` if it was made the same way; else extract them and write it.

    beside: stored with them. extract(first): shards of the features from picture `first` on. Each shard is on disk
    before the next begins. Only the main process of `accelerate launch` writes. Another run that extracts into the same
    folder is waited for.
    Raises `UserError` for a file of another network or data set, which is left as it is; where only the pictures
    changed, a line is logged and they are extracted anew.
    """
    process = this_process()
    if _fits_everywhere(path, origin):  # no lock: the folder may be read-only
        return _feats(path)
    with locked(path.parent, wait=True, here=process.is_main_process):
        process.wait_for_everyone()
        if _fits_everywhere(path, origin):  # another run has made it meanwhile
            return _feats(path)
        if process.is_main_process:
            remove_leftovers(path.parent)
        parts = path.with_name(f"{path.name}.parts")
        feats = torch.cat(list(through_parts(parts, origin, extract)))
        if process.is_main_process:
            write_feature_file(path, {"feats": feats, **beside}, origin)
            shutil.rmtree(parts, ignore_errors=True)
    return feats


def through_parts(parts: Path, origin: Origin, extract: Callable[[int], Iterator[Tensor]]) -> Iterator[Tensor]:
    """Shards of features: those that an earlier run left in the folder `parts`, then each new one once it lies there.

    For the arguments and the errors see `through_file`.
    """
    process = this_process()
    earlier = list(_read_parts(parts, origin))
    process.wait_for_everyone()  # all have read before one of them writes
    yield from earlier
    first = sum(map(len, earlier))
    for shard in extract(first):
        if process.is_main_process:
            write_feature_file(parts / f"{first:09d}.safetensors", {"feats": shard}, origin)
        yield shard
        first += len(shard)


def write_feature_file(path: Path, tensors: Mapping[str, Tensor], origin: Origin) -> None:
    """Write tensors with their origin as the header, so that the file is either whole or what it was before."""
    write_safetensors_file(tensors, path, asdict(origin))


def read_feature_file(path: Path) -> dict[str, Tensor]:
    """All tensors of a feature file; `UserError` if it cannot be read."""
    return read_safetensors(path, "features", REMEDY)


def _feats(path: Path) -> Tensor:
    """The features (N, d) of a file of this program."""
    feats = read_feature_file(path).get("feats")
    if feats is None or feats.ndim != 2 or feats.dtype != torch.float32:
        raise UserError(f"cannot read features from {path}: it has no feats (N, d) float32; delete it")
    return feats


def read_origin(path: Path) -> Origin | None:
    """The header of a feature file; None if another program wrote it. `UserError` if it cannot be read."""
    header = read_metadata(path, "features", REMEDY)
    if header.get("format") != FORMAT:
        return None
    return Origin(**{field.name: header.get(field.name, "") for field in fields(Origin)})


def _fits(path: Path, origin: Origin) -> bool:
    """Whether `path` can be used; false, with a logged line, where only the pictures have changed."""
    if not path.exists():
        return False
    made = read_origin(path)
    if made is None:
        raise UserError(f"{path} is no feature file of this program; move it away, or give another folder")
    differences = made.differences(origin)
    if not differences:
        return True
    if differences == ["pictures"]:
        logger.warning("%s: the pictures have changed since it was written; extracting them anew", path)
        return False
    values = [(name, *(getattr(one, name) or "none" for one in (made, origin))) for name in differences]
    said = ", ".join(f"{name} {held}, not {wanted}" for name, held, wanted in values)
    raise UserError(f"{path} holds other features ({said}); give another folder, or delete the file")


def _fits_everywhere(path: Path, origin: Origin) -> bool:
    """The same answer in all processes that work together."""
    fits = _fits(path, origin)
    return all(gather_object([fits])) if this_process().num_processes > 1 else fits


def _read_parts(parts: Path, origin: Origin) -> Iterator[Tensor]:
    """The shards that an earlier run left, as far as they follow each other and fit."""
    first = 0
    while _fits(part := parts / f"{first:09d}.safetensors", origin):
        shard = _feats(part)
        yield shard
        first += len(shard)
