"""Training pictures with their labels: of a data set's training split, or of synthetic groups."""

import hashlib
import os
import shlex
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import ClassVar, TypeVar

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from pose2id.errors import UserError
from pose2id.files import create_array, remove_leftovers, replacing
from pose2id.locks import locked
from pose2id.pictures import modified, picture_tensor, read_picture, reading
from pose2id.ranges import POSES, SHARE, Range, check_ranges
from pose2id.reading.files import require_file
from pose2id.reading.numpy_files import fits_npy, map_npy

from ..datasets import DATASETS, Dataset, Record, build_dataset, generated_paths
from ..datasets.synthetic.groups import NUM_CAMERAS, read_groups
from ..networks.base import Preprocessing
from ..networks.body.points import resized as resized_points
from ..networks.body.sources import keypoint_source, read_points
from .sampler import SAMPLERS

DECODERS = 4  # threads

Item = TypeVar("Item", Path, np.ndarray)


@dataclass
class DataConfig:
    """Pictures of `dataset` in `dataset_dir` (its training split), or of the folder `groups`.

    keypoints: a folder or file of the data set's keypoints (`NFC.networks.body.sources`); groups have their own.
    With chance `generated_ratio` a picture of the data set is replaced by one of its `poses` generated ones.
    """

    # and so may not change in a run
    DECIDE_BATCHES: ClassVar = ("generated_ratio", "poses", "sampler", "pictures_per_person")

    groups: str | None = None
    dataset: str | None = None
    dataset_dir: str | None = None
    options: dict[str, str] = field(default_factory=dict)  # of the data set
    keypoints: str | None = None
    cache: str = "runs/cache"  # where the data set's pictures are kept, decoded and resized
    generated_ratio: float = 0.0
    poses: int = 8
    sampler: str = "people"  # so many pictures of each person in a batch; or "random", any pictures
    pictures_per_person: int = 4

    def __post_init__(self) -> None:
        check_ranges(self, {"generated_ratio": SHARE, "poses": POSES, "pictures_per_person": Range(2, 1024)}, "data")
        if self.sampler not in SAMPLERS:
            raise UserError(f"data.sampler '{self.sampler}' is not one of: {', '.join(SAMPLERS)}")


@dataclass(frozen=True)
class TrainingSet:
    """N pictures (N, H, W, 3) uint8 RGB mapped from disk, labels and camids (N,) int64, both counted from 0.

    infrared: the camids of infrared cameras. generated: the files of each picture's generated ones; empty where none
    are used. cameras: whether somebody noted them; else camids only tell splits apart. points: (N, 18, 3) float32 in
    pixels of the pictures, see `NFC.networks.body`; None where nobody told.
    """

    pictures: np.ndarray
    labels: np.ndarray
    camids: np.ndarray
    infrared: frozenset[int] = frozenset()
    generated: Sequence[Sequence[Path]] = ()
    cameras: bool = True
    points: np.ndarray | None = None

    @property
    def num_labels(self) -> int:
        return int(self.labels.max()) + 1


def read_training_set(config: DataConfig, preprocessing: Preprocessing) -> TrainingSet:
    """The pictures that `config` names, resized as `preprocessing` says.

    A person of the groups in visible light and the same person in infrared are two labels, and every camera of the
    groups is two, the infrared one after all visible ones. Raises `UserError` for whatever is missing on disk.
    """
    if bool(config.groups) == bool(config.dataset):
        raise UserError("name either data.groups or data.dataset with data.dataset_dir")
    if config.groups and config.keypoints:
        raise UserError("groups bring their own keypoints; leave out data.keypoints, or name a data.dataset")
    if config.groups and config.generated_ratio:
        raise UserError("groups have no generated pictures; leave out data.generated_ratio, or name a data.dataset")
    if config.dataset and not config.dataset_dir:
        raise UserError(f"data.dataset={config.dataset} needs data.dataset_dir, the folder it lies in")
    if config.groups:
        return _read_groups(Path(config.groups), Path(config.cache), preprocessing)
    dataset = build_dataset(config.dataset, config.dataset_dir, **config.options)
    return _read_dataset(dataset, config, preprocessing)


def _read_groups(folder: Path, cache: Path, preprocessing: Preprocessing) -> TrainingSet:
    groups = read_groups(folder)
    count, members, *size = groups.pictures.shape[:4]
    labels = np.unique(groups.classes, return_inverse=True)[1]
    pictures = groups.pictures.reshape(count * members, *size, 3)
    wanted = preprocessing.height, preprocessing.width
    if tuple(size) != wanted:
        state = (folder / "pictures.npy").stat()
        source = f"{folder.resolve()} {state.st_size} {state.st_mtime_ns}"
        pictures = _kept(
            source.encode(), pictures, lambda p: resized(Image.fromarray(p), preprocessing), cache, preprocessing
        )
    _, camids, infrared, _ = groups.labels.T
    camids = np.repeat(camids + NUM_CAMERAS * infrared, members)
    infrared_cameras = frozenset(range(NUM_CAMERAS, 2 * NUM_CAMERAS))
    points = resized_points(torch.from_numpy(np.array(groups.keypoints)).flatten(0, 1), (size[0], size[1]), wanted)
    return TrainingSet(pictures, np.repeat(labels, members), camids, infrared_cameras, points=points.numpy())


def _read_dataset(dataset: Dataset, config: DataConfig, preprocessing: Preprocessing) -> TrainingSet:
    records = dataset.train
    if not records:
        option = next((name for name in ("split", "trial") if name in DATASETS[dataset.name].options), None)
        hint = f"name one {option}: data.options.{option}=1" if option else "train on another data set"
        raise UserError(f"{dataset.name} at {dataset.root} has no training pictures; {hint}")
    labels = np.unique([record.pid for record in records], return_inverse=True)[1]
    generated = _find_generated(records, config) if config.generated_ratio else []
    pictures = _decoded([record.path for record in records], Path(config.cache), preprocessing)
    camids = np.array([record.camid for record in records])
    points = _read_points([record.path for record in records], config, preprocessing) if config.keypoints else None
    return TrainingSet(pictures, labels, camids, frozenset(dataset.infrared), generated, dataset.cameras, points)


def _read_points(paths: Sequence[Path], config: DataConfig, preprocessing: Preprocessing) -> np.ndarray:
    """(N, 18, 3) float32 from the keypoints of the pictures, in pixels of the resized ones."""
    source, size = keypoint_source(config.keypoints), (preprocessing.height, preprocessing.width)

    def read(path: Path) -> np.ndarray:
        width, height = read_picture(path).size
        return read_points(source, path, (height, width), size).numpy()

    with ThreadPoolExecutor(DECODERS) as pool:
        return np.stack(list(tqdm(pool.map(read, paths), total=len(paths), desc="keypoints", unit="picture")))


def _find_generated(records: Sequence[Record], config: DataConfig) -> list[list[Path]]:
    found = [generated_paths(record, config.poses) for record in records]
    missing = [path for paths in found for path in paths if not path.is_file()]
    if missing:
        raise UserError(
            f"generated picture {missing[0]} is missing, with {len(missing) - 1} more; make them: pose2id generate "
            f"--dataset {config.dataset} --dataset_dir {shlex.quote(config.dataset_dir)} --splits train"
        )
    return found


def resized(picture: Image.Image, preprocessing: Preprocessing) -> np.ndarray:
    """(height, width, 3) uint8 RGB, resized as in tests."""
    pixels = picture_tensor(picture, preprocessing.height, preprocessing.width, preprocessing.resize)
    return (pixels * 255).round().byte().permute(1, 2, 0).numpy()


def resized_picture(path: Path, preprocessing: Preprocessing) -> np.ndarray:
    """The same of the picture file at `path`."""
    return resized(read_picture(path), preprocessing)


def _decoded(paths: Sequence[Path], cache: Path, preprocessing: Preprocessing) -> np.ndarray:
    """The pictures (N, height, width, 3) uint8 in files at `paths`, kept in `cache`."""
    states = [(path, require_file(path, "picture", "replace or remove it").stat()) for path in paths]
    lines = [os.fsencode(f"{path.resolve()}\0{state.st_size}\0{modified(path)}\0") for path, state in states]
    return _kept(b"".join(lines), paths, partial(resized_picture, preprocessing=preprocessing), cache, preprocessing)


def _kept(
    source: bytes, items: Sequence[Item], read: Callable[[Item], np.ndarray], cache: Path, preprocessing: Preprocessing
) -> np.ndarray:
    """What `read` makes of the items, (N, height, width, 3) uint8, mapped from a file in `cache`.

    The file, which is made when it is not there, is named after their `source` and how they are resized.
    """
    size = preprocessing.height, preprocessing.width
    digest = hashlib.sha256(f"{size} {preprocessing.resize} {reading()}".encode() + source)
    file = cache / f"pictures-{digest.hexdigest()[:16]}.npy"
    shape = len(items), *size, 3
    with locked(cache, wait=True, here=not fits_npy(file, shape, np.uint8)):
        if not fits_npy(file, shape, np.uint8):
            remove_leftovers(cache)
            with replacing(file) as partial_file, ThreadPoolExecutor(DECODERS) as pool:
                array = create_array(partial_file, np.uint8, shape)
                pictures = tqdm(pool.map(read, items), total=len(items), desc="pictures", unit="picture")
                for row, picture in enumerate(pictures):
                    array[row] = picture
                array.flush()
    return map_npy(file)
