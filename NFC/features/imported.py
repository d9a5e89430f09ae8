"""Features of other people's networks, from the files in which they keep them.

A file holds `feats` (N, d), `pids` (N,) and `camids` (N,), and may hold `generated` (N, M, d), the features of the
generated pictures, and for features of body parts `parts`, their number; NAMES has the other names that are
understood. A file of both splits has `query_feats`, `gallery_feats` and so on, and is given for each of them.
Nothing in a file is executed.
"""

import csv
import logging
import pickle
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
from scipy.io import loadmat
from scipy.io.matlab import MatReadError
from torch import Tensor

from pose2id.errors import UserError

from ..datasets import Record
from .feature_set import SPLITS, FeatureSet
from .files import read_feature_file, read_origin
from .kinds import KINDS, Layout

NAMES = {
    "feats": ("feats", "features", "feat", "f"),
    "pids": ("pids", "pid", "labels", "label"),
    "camids": ("camids", "camid", "cams", "cam"),
    "generated": ("generated",),
    **{kind: (kind,) for kind in KINDS},  # the sizes of features of this kind
}
UNREADABLE = (OSError, EOFError, ValueError, KeyError, TypeError, RuntimeError, BadZipFile, MatReadError, zlib.error)

Arrays = Mapping[str, object]  # what a file holds, by name

logger = logging.getLogger(__name__)


def read_features(
    paths: Sequence[str | Path],
    labels: Sequence[str | Path] | None = None,
    records: Sequence[Sequence[Record]] | None = None,
) -> tuple[FeatureSet, FeatureSet]:
    """Query and gallery from two files: .npz, .npy, .mat (up to version 7), .pt, .pth or .safetensors.

    labels: two files with their pids and camids, .csv or any of the above. records: the pictures of query and gallery
    instead; the features must be in their order. Without both, the labels are those of `paths`.
    Rows with a negative pid, junk, are left out, with a logged line.
    Raises `UserError` naming the file for what is missing, does not match, or is NaN or infinite, and for features
    that come from two networks.
    """
    if len(paths) != 2 or (labels and len(labels) != 2):
        raise UserError("features and labels need two files each, query and gallery; a file of both is given twice")
    query, gallery = (
        _read_split(split, Path(path), Path(labels[i]) if labels else None, records[i] if records else None)
        for i, (split, path) in enumerate(zip(SPLITS, paths, strict=True))
    )
    sizes = [features.feats.size for features in (query, gallery)]
    if sizes[0] != sizes[1]:
        both = f"{sizes[0]} and {sizes[1]}"
        raise UserError(f"features in {paths[0]} and {paths[1]} differ in size, {both}; use those of one network")
    _check_one_network(*map(Path, paths))
    return query, gallery


def _read_split(split: str, path: Path, labels: Path | None, records: Sequence[Record] | None) -> FeatureSet:
    arrays = read_arrays(path)
    feats = _as_floats(_find(arrays, "feats", split, path), f"feats in {path}")
    generated = None
    if _held(arrays, "generated", split):
        generated = _as_floats(_find(arrays, "generated", split, path), f"generated in {path}")
    if records is None:
        place = labels or path
        given = read_arrays(labels) if labels else arrays
        pids, camids = (
            _as_integers(_find(given, name, split, place), f"{name} in {place}") for name in ("pids", "camids")
        )
    else:
        pids, camids = torch.tensor([r.pid for r in records]), torch.tensor([r.camid for r in records])
    features = FeatureSet.of(feats, pids, camids, generated, _layout(arrays, split, path), f"{split} ({path})")
    return _without_junk(features, path)


def _layout(arrays: Arrays, split: str, path: Path) -> Layout:
    """The kind of features and its sizes; vectors where the file names none, or a size of 0 as older files do."""
    for kind in KINDS:
        if _held(arrays, kind, split):
            sizes = tuple(_as_integers(_find(arrays, kind, split, path), f"{kind} in {path}").tolist())
            return Layout(kind, sizes) if any(sizes) else Layout()
    return Layout()


def _without_junk(features: FeatureSet, path: Path) -> FeatureSet:
    kept = features.pids >= 0
    if kept.all():
        return features
    if not kept.any():
        raise UserError(f"{path}: every pid is negative, which marks junk; give each row its person's number")
    logger.warning("%s: %d rows with a negative pid are junk and left out", path, int((~kept).sum()))
    return features[kept]


def read_arrays(path: Path) -> Arrays:
    """The arrays in a file, by name; `UserError` for a file that cannot be read or is of another kind."""
    if not path.is_file():
        raise UserError(f"feature file {path} does not exist")
    if path.suffix.lower() not in READERS:
        kinds = ", ".join(READERS)
        raise UserError(f"{path} is not one of {kinds}; save it as .npz (pickles can run code and are not read)")
    try:
        return READERS[path.suffix.lower()](path)
    except UserError:
        raise
    except pickle.UnpicklingError as error:
        raise UserError(f"{path} holds more than tensors, numbers and lists; save a dict of tensors") from error
    except NotImplementedError as error:
        raise UserError(f"{path} is a MATLAB 7.3 file; save it with -v7") from error
    except UNREADABLE as error:
        reason = " ".join(str(error).split("\n")[0].split())[:150] or type(error).__name__
        raise UserError(f"cannot read {path}: {reason}") from error


def _read_npy(path: Path) -> Arrays:
    return {"feats": np.load(path, allow_pickle=False)}


def _read_npz(path: Path) -> Arrays:
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files if _is_known(name)}


def _read_torch(path: Path) -> Arrays:
    content = torch.load(path, map_location="cpu", weights_only=True)
    return content if isinstance(content, Mapping) else {"feats": content}


def _read_csv(path: Path) -> Arrays:
    """Columns whose name is known, as integers; others are ignored."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        columns = {name: [] for name in reader.fieldnames or () if _is_known(name)}
        for row in reader:
            for name, values in columns.items():
                try:
                    values.append(int(row[name]))
                except (TypeError, ValueError) as error:
                    where = f"{path} line {reader.line_num}"
                    raise UserError(f"{where}: {name} is '{row[name]}'; it must be a whole number") from error
    return columns


READERS: dict[str, Callable[[Path], Arrays]] = {
    ".npz": _read_npz,
    ".npy": _read_npy,
    ".mat": loadmat,
    ".pt": _read_torch,
    ".pth": _read_torch,
    ".safetensors": read_feature_file,
    ".csv": _read_csv,
}


def _is_known(name: str) -> bool:
    for split in SPLITS:
        name = name.removeprefix(f"{split}_")
    return any(name in names for names in NAMES.values())


def _held(arrays: Arrays, name: str, split: str) -> str | None:
    """The key under which `arrays` hold `name`: first with the split before it, then without."""
    keys = [f"{prefix}{alias}" for prefix in (f"{split}_", "") for alias in NAMES[name]]
    return next((key for key in keys if key in arrays), None)


def _find(arrays: Arrays, name: str, split: str, path: Path) -> object:
    key = _held(arrays, name, split)
    if key is None:
        held = ", ".join(str(key) for key in arrays if not str(key).startswith("__")) or "nothing of use"
        hint = "; without cameras, give 0 for every query and 1 for the gallery" if name == "camids" else ""
        raise UserError(f"{path} has no {name} (it has {held}); name them {' or '.join(NAMES[name])}{hint}")
    return arrays[key]


def _as_floats(values: object, name: str) -> Tensor:
    """float32; `UserError` for anything but an array of real numbers."""
    tensor = _as_tensor(values, name)
    if not tensor.is_floating_point():
        raise UserError(f"{name} must be floating point numbers, got {tensor.dtype}")
    return tensor.float()


def _as_integers(values: object, name: str) -> Tensor:
    """(N,) int64; whole floating point numbers and (1, N) or (N, 1) are fine, as MATLAB writes them."""
    tensor = _as_tensor(values, name).flatten()
    integers = tensor.to(torch.int64)
    if not torch.equal(integers.to(tensor.dtype), tensor):
        raise UserError(f"{name} must be whole numbers")
    return integers


def _as_tensor(values: object, name: str) -> Tensor:
    if isinstance(values, Tensor):
        return values
    array = np.asarray(values)
    if array.dtype.kind not in "fiub":
        raise UserError(f"{name} must be numbers, got {array.dtype}")
    return torch.from_numpy(np.ascontiguousarray(array.astype(array.dtype.newbyteorder("="))))


def _check_one_network(query: Path, gallery: Path) -> None:
    """`UserError` if both files say what they come from, and it is not the same network."""
    origins = [read_origin(path) if path.suffix.lower() == ".safetensors" else None for path in (query, gallery)]
    if None in origins:
        return
    differences = [name for name in origins[0].differences(origins[1]) if name not in ("dataset", "pictures")]
    if differences:
        said = ", ".join(f"{name} {getattr(origins[0], name)} and {getattr(origins[1], name)}" for name in differences)
        raise UserError(f"{query} and {gallery} come from different networks ({said}); use those of one")
