"""What a generation job has to do: weights, poses, folders to fill, and what these were made with before."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from PIL import Image

from NFC.datasets import Record, build_dataset, generated_paths
from pose2id.decoding import grey_bits
from pose2id.errors import UserError, printable
from pose2id.files import fingerprint
from pose2id.listing import find_deeper, list_pictures, why_not

from .. import manifest
from ..poses import CHANNEL_ORDERS, read_pose_picture
from ..poses.recognise import looks_swapped, remarks
from ..splits import split_records
from ..weight_files import WeightFiles, find_generator
from .settings import DECISIVE, GenerationConfig


@dataclass(frozen=True)
class Pose:
    """A pose picture, RGB in canonical colours: the `number`-th file of its folder, from 1."""

    number: int
    path: Path
    picture: Image.Image

    @property
    def name(self) -> str:
        """Also the name of the folder that its pictures go to."""
        return f"pose{self.number}"


@dataclass(frozen=True)
class Task:
    """A reference, where its pictures go (one a pose), and its canvas, None where no canvas is wanted.

    `name` is what its noise comes from, unlike any other of the job; `turn` counts the references of its folder.
    """

    reference: Path
    name: str
    turn: int
    pictures: tuple[Path, ...]
    canvas: Path | None


@dataclass(frozen=True)
class Job:
    """A folder to fill, and the manifest that belongs into it."""

    out: Path
    tasks: list[Task]
    manifest: manifest.Manifest


@dataclass(frozen=True)
class Plan:
    """A whole job; `unused` has a line for each file that cannot be used.

    `notes` are lines on what can be used but is worth a look.
    """

    weights: WeightFiles
    poses: list[Pose]
    jobs: list[Job]
    unused: list[str]
    notes: list[str]

    @property
    def pictures(self) -> int:
        """How many there are when all is done."""
        return len(self.poses) * sum(len(job.tasks) for job in self.jobs)


Folders = dict[Path, list[Task]]  # each folder to fill -> what goes there


def make_plan(config: GenerationConfig) -> Plan:
    """Find and check everything that a resolved config names, without reading a network.

    `UserError` for what makes the whole job impossible: missing folders or weights, no usable pose, an output
    folder that holds pictures of other settings.
    """
    files = find_generator(config.ckpt_dir, config.preset, config.vae)
    poses, unused, notes = _read_poses(config)
    if config.dataset_dir:
        folders = _data_set_folders(config, poses)
    else:
        folders, strangers, deeper = _one_folder(config, poses)
        unused += strangers
        notes += deeper
    if not poses:
        more = f" ({len(unused) - 1} more lines like this)" if len(unused) > 1 else ""
        raise UserError(f"no pose in {config.pose_dir} can be used: {unused[0]}{more}")
    weights = {role: fingerprint(path) for role, path in files.by_role().items()}
    jobs = [Job(out, tasks, _describe(config, tasks, poses, weights)) for out, tasks in folders.items()]
    for job in jobs:
        manifest.check(job.out, job.manifest)
    return Plan(files, poses, jobs, unused, notes)


def _read_poses(config: GenerationConfig) -> tuple[list[Pose], list[str], list[str]]:
    """The poses, a line for each file that cannot be used, and notes."""
    paths, unused, notes = _pictures_of(Path(config.pose_dir))
    poses = []
    for number, path in enumerate(paths, start=1):
        try:
            picture = read_pose_picture(path, config.pose_channel_order)
            _check_channels(path, picture, config.pose_channel_order)
        except UserError as error:
            unused.append(str(error))
            continue
        poses.append(Pose(number, path, picture))
        notes += [f"pose {printable(path)} {remark}" for remark in remarks(picture)]
    return poses, unused, notes


def _check_channels(path: Path, picture: Image.Image, order: str) -> None:
    if looks_swapped(picture):
        (other,) = set(CHANNEL_ORDERS) - {order}
        raise UserError(
            f"pose {printable(path)} shows red and blue exchanged when read as pose_channel_order {order}; give "
            f"pose_channel_order {other} (and folders of one order only)"
        )


def _one_folder(config: GenerationConfig, poses: Sequence[Pose]) -> tuple[Folders, list[str], list[str]]:
    source, out = Path(config.ref_dir), Path(config.out_dir)
    if out.resolve() == source.resolve():
        raise UserError(f"out_dir {out} is the folder of the references; name another")
    references, strangers, deeper = _pictures_of(source, out)
    tasks = [
        Task(path, path.name, turn, tuple(out / pose.name / path.name for pose in poses), canvas=out / path.name)
        for turn, path in enumerate(sorted(references))
    ]
    return {out: tasks}, strangers, deeper


def _data_set_folders(config: GenerationConfig, poses: Sequence[Pose]) -> Folders:
    """`<split folder>_gen` beside each folder of a data set.

    Nobody is drawn for distractors: they show nobody in particular, and stand for themselves.
    """
    dataset = build_dataset(config.dataset, config.dataset_dir, **config.dataset_options)
    of_folder: dict[Path, dict[Path, Record]] = {}
    for record in split_records(dataset, config.splits):
        if record.pid not in dataset.distractors:
            of_folder.setdefault(record.folder or record.path.parent, {})[record.path] = record
    if not of_folder:
        raise UserError(f"{config.dataset} at {config.dataset_dir}: {', '.join(config.splits)} show nobody to draw")
    folders: Folders = {}
    for folder, members in sorted(of_folder.items()):
        tasks = []
        for turn, (path, record) in enumerate(sorted(members.items())):
            places = generated_paths(record, max((pose.number for pose in poses), default=0))
            nested = path.parent != folder  # there, file names repeat
            name = path.relative_to(folder.parent).as_posix() if nested else path.name
            tasks.append(Task(path, name, turn, tuple(places[pose.number - 1] for pose in poses), canvas=None))
        folders[folder.with_name(f"{folder.name}_gen")] = tasks
    return folders


def _pictures_of(folder: Path, out: Path | None = None) -> tuple[list[Path], list[str], list[str]]:
    """The pictures of a folder, a line for each file that is none, and one on pictures in folders below it."""
    pictures, strangers = list_pictures(folder)
    deeper = str(find_deeper(folder, out))
    notes = [f"{printable(folder)}: {deeper}"] if deeper else []
    if not pictures and not strangers:
        raise UserError(f"folder {folder} holds no pictures; put some there or name another{deeper and f'; {deeper}'}")
    return pictures, [f"{printable(path)} {why_not(path)}; skipped" for path in strangers], notes


def _describe(
    config: GenerationConfig, tasks: Sequence[Task], poses: Sequence[Pose], weights: dict[str, str]
) -> manifest.Manifest:
    """The manifest of a folder. With official noise a picture also depends on which references and poses there are."""
    options = asdict(config)
    settings = {name: options.pop(name) for name in DECISIVE} | {"grey_bits": grey_bits()}
    if config.official_noise:
        names = hashlib.sha256("\n".join(task.name for task in tasks).encode()).hexdigest()
        settings["official_noise"] = f"{len(poses)} poses of {len(tasks)} references {names}"
    return manifest.describe(settings, options, {pose.name: pose.path for pose in poses}, weights)
