"""What there is to learn from: pictures of people with their poses, of a data set or of the synthetic world."""

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from PIL import Image

from NFC.datasets import Record, build_dataset, training_records
from NFC.datasets.synthetic.groups import Groups, read_groups
from pose2id.errors import UserError
from pose2id.pictures import modified, read_picture, reading
from pose2id.reading.files import require_file
from pose2id.settings.ranges import SHARE, Range, check_ranges

from ..networks import MOST_PICTURES
from ..poses.clean import sure_joints
from ..poses.records import PoseRecord, poses_folder, read_kept, read_records


@dataclass
class DataConfig:
    """Either `groups`, or `dataset_dir` with what `pose2id poses prepare` wrote for it."""

    groups: str | None = None  # folder of synthetic groups
    dataset: str | None = None  # layout of dataset_dir: market1501, custom, ...
    dataset_dir: str | None = None
    dataset_options: dict[str, str] = field(default_factory=dict)
    poses_dir: str | None = None  # <dataset_dir>_poses
    confidence: float = 0.3  # joints that are less sure are not drawn
    targets: int = 1  # pictures learnt at once from one person's references
    references: int = 1  # most pictures of a person that are seen at once: each time 1 to so many are drawn
    cache: str = "runs/cache"  # what the frozen networks say of the pictures

    def __post_init__(self) -> None:
        check_ranges(
            self, {"confidence": SHARE, "targets": Range(1, 1024), "references": Range(1, MOST_PICTURES)}, "data"
        )


@dataclass(frozen=True)
class Person:
    """Numbers of the pictures of one person that make pairs: any reference, and as target any other picture."""

    pid: int
    references: np.ndarray  # (R,) int64
    targets: np.ndarray  # (T,) int64; at least one other than any reference


@dataclass(frozen=True)
class Material:
    """P pictures, numbered from 0, and the people they show.

    read: number -> RGB picture. keypoints: (P, 18, 3) of x, y in 0..1 and confidence, 0 for joints that are not to be
    drawn. digest: changes with the pictures. summary: a line for people.
    """

    read: Callable[[int], Image.Image]
    keypoints: np.ndarray
    people: Sequence[Person]
    digest: str
    summary: str

    def __len__(self) -> int:
        return len(self.keypoints)


def build_material(config: DataConfig) -> Material:
    """The pictures that a config names; `UserError` for whatever is missing or does not belong together."""
    if (config.groups is None) == (config.dataset_dir is None):
        raise UserError("name either data.dataset_dir, a data set, or data.groups, a folder of synthetic groups")
    if config.dataset and not config.dataset_dir:
        raise UserError(f"data.dataset {config.dataset} needs data.dataset_dir, the folder it lies in")
    return group_material(read_groups(Path(config.groups))) if config.groups else dataset_material(config)


def hold_out(material: Material, share: float) -> tuple[Material, Material]:
    """(to learn from, to validate on): no pid is in both; the second has about `share` of the pids.

    Which pids these are depends on the pids and the share alone. `UserError` if one side would be empty.
    """
    pids = sorted({person.pid for person in material.people})
    count = round(share * len(pids))
    if not 0 < count < len(pids):
        raise UserError(f"validation.held_out {share} of {len(pids)} people is {count}; both sides need some")
    held = set(np.random.default_rng(0).permutation(pids)[:count].tolist())
    sides: tuple[list[Person], list[Person]] = [], []
    for person in material.people:
        sides[person.pid in held].append(person)
    return replace(material, people=sides[0]), replace(material, people=sides[1])


def group_material(groups: Groups) -> Material:
    """The pictures of a group make pairs; where one is occluded, that one is the reference."""
    count, members, height, width = groups.pictures.shape[:4]
    everybody = np.arange(members)
    people = []
    for first, (pid, _, _, occluded) in zip(range(0, count * members, members), groups.labels, strict=True):
        numbers = first + everybody
        people.append(Person(int(pid), *((numbers[:1], numbers[1:]) if occluded else (numbers, numbers))))
    digest = hashlib.sha256(str(groups.pictures.shape).encode())
    digest.update(np.ascontiguousarray(groups.pictures[:: max(1, count // 50), 0]).tobytes())
    return Material(
        lambda number: Image.fromarray(groups.pictures[divmod(number, members)]),
        groups.keypoints.reshape(-1, 18, 3) / np.float32([width, height, 1]),
        people,
        digest.hexdigest(),
        f"{count:,} groups of {members} pictures",
    )


def dataset_material(config: DataConfig) -> Material:
    """The training pictures of a data set that its cleaning list keeps. Pairs are of one pid and one kind of camera.

    Visible and infrared pictures of a person are no pair: a generated picture is to look like its reference. People
    with a single picture are left out.
    """
    name = config.dataset or "market1501"
    dataset = build_dataset(name, config.dataset_dir, **config.dataset_options)
    training = training_records(dataset, "data.dataset_options")
    poses = _kept_poses(config, name)
    kept: dict[tuple[int, bool], list[tuple[Record, PoseRecord]]] = {}
    for record in sorted(training, key=lambda record: record.path):
        if pose := poses.get(record.path.relative_to(dataset.root).as_posix()):
            kept.setdefault((record.pid, record.camid in dataset.infrared), []).append((record, pose))
    if not kept:
        raise UserError(
            f"{_poses_dir(config)} keeps no training picture of {name} at {config.dataset_dir}; "
            f"if it is that of another data set, {_remedy(config, name)}"
        )
    pairs = {person: own for person, own in kept.items() if len(own) > 1}
    if not pairs:
        raise UserError(f"{name} at {config.dataset_dir}: nobody has two kept training pictures, so there are no pairs")
    people, pictures = [], []
    for (pid, _), own in pairs.items():
        numbers = np.arange(len(pictures), len(pictures) + len(own))
        people.append(Person(pid, numbers, numbers))
        pictures.extend(own)
    return Material(
        lambda number: _read(*pictures[number]),
        np.stack([_normalised(pose, config.confidence) for _, pose in pictures]),
        people,
        _digest(record.path for record, _ in pictures),
        f"{name}: {len(dataset.train):,} training pictures, {sum(map(len, kept.values())):,} of them kept; pairs of "
        f"{len(pictures):,} pictures of {len(pairs):,} people, {len(kept) - len(pairs):,} left out with one picture",
    )


def _read(record: Record, pose: PoseRecord) -> Image.Image:
    """The picture, if the pose can be its own."""
    picture = read_picture(record.path)
    if picture.size != (pose.width, pose.height):
        raise UserError(
            f"{record.path} is {picture.width} x {picture.height}, but its pose is of a picture of {pose.width} x "
            f"{pose.height}: are these the poses of another data set? write them anew with `pose2id poses prepare`"
        )
    return picture


def _poses_dir(config: DataConfig) -> Path:
    return Path(config.poses_dir or poses_folder(Path(config.dataset_dir)))


def _kept_poses(config: DataConfig, name: str) -> dict[str, PoseRecord]:
    """By path, the poses of all pictures that the cleaning list keeps."""
    folder = _poses_dir(config)
    for file in ("keypoints.jsonl", "kept.jsonl"):
        if not (folder / file).is_file():
            raise UserError(f"{folder} holds no {file}; {_remedy(config, name)}")
    kept = read_kept(folder / "kept.jsonl")
    return {record.path: record for record in read_records(folder / "keypoints.jsonl") if record.path in kept}


def _remedy(config: DataConfig, name: str) -> str:
    place = f" --out_dir {config.poses_dir}" if config.poses_dir else ""
    return f"run: pose2id poses prepare --dataset {name} --dataset_dir {config.dataset_dir}{place}"


def _normalised(pose: PoseRecord, confidence: float) -> np.ndarray:
    """(18, 3) of x, y in 0..1 and confidence, 0 for joints below `confidence`."""
    points = sure_joints(pose.keypoints, confidence)
    points[:, :2] = (points[:, :2] + 0.5) / [pose.width, pose.height]
    return points


def _digest(paths: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    digest.update(reading().encode())
    for path in paths:
        size = require_file(path, "picture", "replace or remove it").stat().st_size
        digest.update(os.fsencode(f"{path}\n{size}\n{modified(path)}\n"))
    return digest.hexdigest()
