"""Training pictures with their labels: of a data set's training split, or of synthetic groups."""

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
from PIL import Image

from pose2id.errors import UserError
from pose2id.pictures import modified, picture_tensor, read_picture, reading
from pose2id.reading.files import require_file
from pose2id.settings.ranges import POSES, SHARE, Range, check_ranges

from ..datasets import Dataset, Record, build_dataset, generated_paths, training_records
from ..datasets.synthetic.groups import NUM_CAMERAS, read_groups
from ..networks.base import Preprocessing
from ..networks.body.inputs import BodyInputs
from .bodies import BodyConfig, TrainingBodies, of_data_set, of_groups
from .kept import Kept
from .sampler import SAMPLERS

NOTHING = BodyInputs()


@dataclass
class DataConfig(BodyConfig):
    """Pictures of `dataset` in `dataset_dir` (its training split), or of the folder `groups`.

    Groups have keypoints and label maps of their own. generated_keypoints: of the poses of generated pictures, a folder
    like standard_poses; label maps are drawn from them too, where there are no files of these. With chance
    `generated_ratio` a picture of the data set is replaced by one of its `poses` generated ones.
    """

    # and so may not change in a run
    DECIDE_BATCHES: ClassVar = (
        *("generated_ratio", "poses", "sampler", "pictures_per_person"),
        *("parsing_classes", "missing_parsing"),
    )

    groups: str | None = None
    dataset: str | None = None
    dataset_dir: str | None = None
    options: dict[str, str] = field(default_factory=dict)  # of the data set
    generated_keypoints: str | None = None
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
    are used. cameras: whether somebody noted them; else camids only tell splits apart.
    """

    pictures: np.ndarray
    labels: np.ndarray
    camids: np.ndarray
    infrared: frozenset[int] = frozenset()
    generated: Sequence[Sequence[Path]] = ()
    cameras: bool = True
    bodies: TrainingBodies = field(default_factory=TrainingBodies)

    @property
    def num_labels(self) -> int:
        return int(self.labels.max()) + 1


def read_training_set(config: DataConfig, preprocessing: Preprocessing, told: BodyInputs = NOTHING) -> TrainingSet:
    """The pictures that `config` names, resized as `preprocessing` says, with what the network is told of bodies.

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
    kept = Kept(Path(config.cache), (preprocessing.height, preprocessing.width), f"{preprocessing.resize} {reading()}")
    if config.groups:
        return _read_groups(config, kept, preprocessing, told)
    dataset = build_dataset(config.dataset, config.dataset_dir, **config.options)
    return _read_dataset(dataset, config, kept, preprocessing, told)


def _read_groups(config: DataConfig, kept: Kept, preprocessing: Preprocessing, told: BodyInputs) -> TrainingSet:
    folder = Path(config.groups)
    groups = read_groups(folder)
    count, members, *size = groups.pictures.shape[:4]
    labels = np.unique(groups.classes, return_inverse=True)[1]
    bodies = of_groups(groups, folder, config, told, kept)
    pictures = groups.pictures.reshape(count * members, *size, 3)
    if tuple(size) != kept.size:
        state = (folder / "pictures.npy").stat()
        source = f"{folder.resolve()} {state.st_size} {state.st_mtime_ns}"
        pictures = kept(source.encode(), pictures, lambda p: resized(Image.fromarray(p), preprocessing), (3,))
    _, camids, infrared, _ = groups.labels.T
    camids = np.repeat(camids + NUM_CAMERAS * infrared, members)
    infrared_cameras = frozenset(range(NUM_CAMERAS, 2 * NUM_CAMERAS))
    return TrainingSet(pictures, np.repeat(labels, members), camids, infrared_cameras, bodies=bodies)


def _read_dataset(
    dataset: Dataset, config: DataConfig, kept: Kept, preprocessing: Preprocessing, told: BodyInputs
) -> TrainingSet:
    records = training_records(dataset, "data.options")
    labels = np.unique([record.pid for record in records], return_inverse=True)[1]
    generated = _find_generated(records, config) if config.generated_ratio else []
    paths, camids = [record.path for record in records], np.array([record.camid for record in records])
    bodies = of_data_set(paths, generated, config, config.generated_keypoints, told, kept)
    pictures = _decoded(paths, kept, preprocessing)
    return TrainingSet(pictures, labels, camids, frozenset(dataset.infrared), generated, dataset.cameras, bodies)


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


def _decoded(paths: Sequence[Path], kept: Kept, preprocessing: Preprocessing) -> np.ndarray:
    """The pictures (N, height, width, 3) uint8 in files at `paths`."""
    states = [(path, require_file(path, "picture", "replace or remove it").stat()) for path in paths]
    lines = [os.fsencode(f"{path.resolve()}\0{state.st_size}\0{modified(path)}\0") for path, state in states]
    return kept(b"".join(lines), paths, lambda path: resized(read_picture(path), preprocessing), (3,))
