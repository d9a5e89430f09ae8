"""Features of other people's networks, from the files in which they keep them.

A file holds `feats` (N, d), `pids` (N,) and `camids` (N,), and may hold `generated` (N, M, d), the features of the
generated pictures, and for features of body parts `parts`, their number; NAMES has the other names that are
understood. A file of both splits has `query_feats`, `gallery_feats` and so on, and is given for each of them.
Nothing in a file is executed.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from pose2id.arrays import shrunk_rows
from pose2id.errors import UserError
from pose2id.reading.arrays import Arrays, as_tensor
from pose2id.reading.labels import as_integers

from ..datasets import Record
from .feature_set import SPLITS, FeatureSet
from .files import read_origin
from .imported_files import find, held, read_file
from .imported_labels import check_against, labels_of
from .kinds import KINDS, Layout

logger = logging.getLogger(__name__)


def read_features(
    paths: Sequence[str | Path],
    labels: Sequence[str | Path] | None = None,
    records: Sequence[Sequence[Record]] | None = None,
    labelled: bool = True,
) -> tuple[FeatureSet, FeatureSet]:
    """Query and gallery from two files: .npz, .npy, .mat (up to version 7), .pt, .pth or .safetensors.

    labels: two files with their pids and camids, .csv, .tsv or any of the above. records: the pictures of query and
    gallery instead; the features must be in their order, and labels that are there too must agree. Without both, the
    labels are those of `paths`. labelled: without it, sets whose files have no pids have none, and no camids.
    Rows with a negative pid, junk, are left out, with a logged line.
    Raises `UserError` naming the file for what is missing, does not match, or is NaN or infinite, and for features
    that come from two networks.
    """
    if len(paths) != 2 or (labels and len(labels) != 2):
        raise UserError("features and labels need two files each, query and gallery; a file of both is given twice")
    query, gallery = (
        read_split(split, path, labels[i] if labels else None, records[i] if records else None, labelled)
        for i, (split, path) in enumerate(zip(SPLITS, paths, strict=True))
    )
    sizes = [features.feats.size for features in (query, gallery)]
    if sizes[0] != sizes[1]:
        both = f"{sizes[0]} and {sizes[1]}"
        raise UserError(f"features in {paths[0]} and {paths[1]} differ in size, {both}; use those of one network")
    _check_one_network(*map(Path, paths))
    return query, gallery


def read_split(
    split: str,
    path: str | Path,
    labels: str | Path | None = None,
    records: Sequence[Record] | None = None,
    labelled: bool = True,
    cameras: bool = True,
) -> FeatureSet:
    """One set from one file; arguments and errors as those of `read_features`. split: "query" or "gallery".

    cameras: without it, the file needs no camids, and the set has none.
    """
    path, labels = Path(path), Path(labels) if labels else None
    arrays = read_file(path)
    layout = _layout(arrays, split, path)
    feats = _as_floats(find(arrays, "feats", split, path), f"feats in {path}", layout)
    generated = None
    if held(arrays, "generated", split):
        generated = _as_floats(find(arrays, "generated", split, path), f"generated in {path}", layout)
    given, place = (read_file(labels, "label file"), labels) if labels else (arrays, path)
    if records is not None:
        pids, camids = torch.tensor([r.pid for r in records]), torch.tensor([r.camid for r in records])
        check_against(records, given, split, place, len(feats) if feats.ndim else 0)
    elif labelled or labels or held(given, "pids", split):
        pids, camids = labels_of(given, split, place, cameras)
    else:
        pids = camids = None
    features = FeatureSet.of(feats, pids, camids, generated, layout, f"{split} ({path})")
    return features if pids is None else _without_junk(features, path)


def _layout(arrays: Arrays, split: str, path: Path) -> Layout:
    """The kind of features and its sizes; vectors where the file names none, or a size of 0 as older files do."""
    for kind in KINDS:
        if held(arrays, kind, split):
            name = f"{kind} in {path}"
            sizes = tuple(as_integers(as_tensor(find(arrays, kind, split, path), name), name).tolist())
            if any(sizes) and len(sizes) != len(KINDS[kind].example[1]):
                raise UserError(f"{name} must be {len(KINDS[kind].example[1])} numbers, got {len(sizes)}")
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


def _as_floats(values: object, name: str, layout: Layout) -> Tensor:
    """float32; `UserError` for anything but an array of real numbers. Rows of vectors beyond float32 are scaled."""
    tensor = as_tensor(values, name)
    if not tensor.is_floating_point():
        raise UserError(f"{name} must be floating point numbers, got {tensor.dtype}")
    if tensor.dtype == torch.float64 and not layout.sizes:
        tensor = shrunk_rows(tensor)
    return tensor.float()


def _check_one_network(query: Path, gallery: Path) -> None:
    """`UserError` if both files say what they come from, and it is not the same network."""
    origins = [read_origin(path) if path.suffix.lower() == ".safetensors" else None for path in (query, gallery)]
    if None in origins:
        return
    differences = [name for name in origins[0].differences(origins[1]) if name not in ("dataset", "pictures")]
    if differences:
        said = ", ".join(f"{name} {getattr(origins[0], name)} and {getattr(origins[1], name)}" for name in differences)
        raise UserError(f"{query} and {gallery} come from different networks ({said}); use those of one")
