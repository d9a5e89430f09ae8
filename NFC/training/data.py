"""Training pictures with their labels: of a data set's training split, or of synthetic groups."""

import hashlib
import shlex
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from pose2id.errors import UserError
from pose2id.files import replacing
from pose2id.pictures import read_picture

from ..datasets import Dataset, Record, build_dataset, generated_paths
from ..datasets.synthetic.groups import read_groups
from .augmentation import AugmentationConfig, augment
from .sampler import PKSampler

DECODERS = 4  # threads


@dataclass
class DataConfig:
    """Pictures of `dataset` in `dataset_dir` (its training split), or of the folder `groups`.

    With chance `generated_ratio` a picture of the data set is replaced by one of its `poses` generated ones.
    """

    groups: str | None = None
    dataset: str | None = None
    dataset_dir: str | None = None
    options: dict[str, str] = field(default_factory=dict)  # of the data set
    cache: str = "runs/cache"  # where the data set's pictures are kept, decoded and resized
    generated_ratio: float = 0.0
    poses: int = 8
    pictures_per_person: int = 4

    def __post_init__(self) -> None:
        if not 0 <= self.generated_ratio <= 1 or self.poses < 1:
            raise UserError(
                f"generated_ratio is a chance in [0, 1] and poses at least 1, got {self.generated_ratio}, {self.poses}"
            )


@dataclass(frozen=True)
class TrainingSet:
    """N pictures (N, H, W, 3) uint8 RGB mapped from disk, labels and camids (N,) int64, both counted from 0.

    generated: the files of each picture's generated ones; empty where none are used.
    """

    pictures: np.ndarray
    labels: np.ndarray
    camids: np.ndarray
    generated: Sequence[Sequence[Path]] = ()

    @property
    def num_labels(self) -> int:
        return int(self.labels.max()) + 1


def read_training_set(config: DataConfig, height: int, width: int) -> TrainingSet:
    """The pictures that `config` names, `height` x `width`.

    A person of the groups in visible light and the same person in infrared are two labels. Raises `UserError` for
    whatever is missing on disk.
    """
    if bool(config.groups) == bool(config.dataset):
        raise UserError("name either data.groups or data.dataset with data.dataset_dir")
    if config.groups and config.generated_ratio:
        raise UserError("groups have no generated pictures; leave out data.generated_ratio, or name a data.dataset")
    if config.dataset and not config.dataset_dir:
        raise UserError(f"data.dataset={config.dataset} needs data.dataset_dir, the folder it lies in")
    if config.groups:
        return _read_groups(Path(config.groups), height, width)
    dataset = build_dataset(config.dataset, config.dataset_dir, **config.options)
    return _read_dataset(dataset, config, height, width)


def _read_groups(folder: Path, height: int, width: int) -> TrainingSet:
    groups = read_groups(folder)
    count, members, *size = groups.pictures.shape[:4]
    if size != [height, width]:
        raise UserError(f"{folder} holds pictures of {size[0]} x {size[1]}, but the network needs {height} x {width}")
    labels = np.unique(groups.classes, return_inverse=True)[1]
    pictures = groups.pictures.reshape(count * members, height, width, 3)
    return TrainingSet(pictures, np.repeat(labels, members), np.repeat(groups.labels[:, 1], members))


def _read_dataset(dataset: Dataset, config: DataConfig, height: int, width: int) -> TrainingSet:
    records = dataset.train
    if not records:
        raise UserError(f"{dataset.name} at {dataset.root} has no training pictures; train on another data set")
    labels = np.unique([record.pid for record in records], return_inverse=True)[1]
    generated = _find_generated(records, config) if config.generated_ratio else []
    pictures = _decoded([record.path for record in records], Path(config.cache), height, width)
    return TrainingSet(pictures, labels, np.array([record.camid for record in records]), generated)


def _find_generated(records: Sequence[Record], config: DataConfig) -> list[list[Path]]:
    found = [generated_paths(record, config.poses) for record in records]
    missing = [path for paths in found for path in paths if not path.is_file()]
    if missing:
        raise UserError(
            f"generated picture {missing[0]} is missing, with {len(missing) - 1} more; make them: python inference.py "
            f"--dataset {config.dataset} --dataset_dir {shlex.quote(config.dataset_dir)} --splits train"
        )
    return found


def _resized(path: Path, height: int, width: int) -> np.ndarray:
    """(height, width, 3) uint8 RGB."""
    return np.asarray(read_picture(path).resize((width, height), Image.Resampling.LANCZOS))


def _decoded(paths: Sequence[Path], cache: Path, height: int, width: int) -> np.ndarray:
    """The pictures (N, height, width, 3) uint8, mapped from a file in `cache` that is made when it is not there.

    The file is named after the paths, sizes and times of the pictures.
    """
    digest = hashlib.sha256(f"{height}x{width}".encode())
    for path in paths:
        state = path.stat()
        digest.update(f"{path.resolve()}\0{state.st_size}\0{state.st_mtime_ns}\0".encode())
    file = cache / f"pictures-{digest.hexdigest()[:16]}.npy"
    if not file.is_file():
        with replacing(file) as partial, ThreadPoolExecutor(DECODERS) as pool:
            array = np.lib.format.open_memmap(partial, "w+", np.uint8, (len(paths), height, width, 3))
            decoded = pool.map(lambda path: _resized(path, height, width), paths)
            for row, picture in enumerate(tqdm(decoded, total=len(paths), desc="pictures", unit="picture")):
                array[row] = picture
            array.flush()
    return np.load(file, mmap_mode="r")


class Batches:
    """Batches for `ReIDObjective`: PK-sampled, mixed with generated pictures, augmented, in [-1, 1]."""

    def __init__(
        self, pictures: TrainingSet, config: DataConfig, augmentation: AugmentationConfig, batch_size: int
    ) -> None:
        self.pictures, self.config, self.augmentation = pictures, config, augmentation
        self.sampler = PKSampler(pictures.labels, pictures.camids, batch_size, config.pictures_per_person)

    def __call__(self, generators: Sequence[torch.Generator]) -> dict[str, Tensor]:
        """images (B, 3, H, W) float32 in [-1, 1]; labels, camids (B,) int64; generated (B,) bool.

        A batch is one draw, so all of its random numbers are those of the first generator.
        """
        generator = generators[0]
        rows = self.sampler(generator)
        generated = torch.rand(len(rows), generator=generator) < self.config.generated_ratio
        poses = torch.randint(self.config.poses, (len(rows),), generator=generator)
        pixels = np.array(self.pictures.pictures[rows])
        for place in generated.nonzero()[:, 0].tolist():
            path = self.pictures.generated[rows[place]][poses[place]]
            pixels[place] = _resized(path, *pixels.shape[1:3])
        images = augment(torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255, self.augmentation, generator)
        return {
            "images": images * 2 - 1,
            "labels": torch.from_numpy(self.pictures.labels[rows]),
            "camids": torch.from_numpy(self.pictures.camids[rows]),
            "generated": generated,
        }
