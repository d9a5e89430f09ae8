"""What a generation job has to do: weights, poses, folders to fill, and what these were made with before."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from PIL import Image

from pose2id.errors import UserError, printable
from pose2id.files import fingerprint
from pose2id.presets import load_preset
from pose2id.reading.decoding import grey_bits

from ..execution import execution_for
from ..poses import CHANNEL_ORDERS, read_pose_picture
from ..poses.recognise import looks_swapped
from ..poses.recognise import remarks as remarks_on
from ..poses.redraw import redrawn
from ..weights.files import WeightFiles, find_generator
from . import manifest
from .settings import DECISIVE, DTYPES, GenerationConfig
from .tasks import Pose, Task, of_data_set, of_folder, pictures_of


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


def make_plan(config: GenerationConfig) -> Plan:
    """Find and check everything that a resolved config names, without reading a network.

    `UserError` for what makes the whole job impossible: missing folders or weights, no usable pose, an output
    folder that holds pictures of other settings.
    """
    files = find_generator(config.ckpt_dir, config.preset, config.vae)
    poses, unused, notes = _read_poses(config)
    folders, strangers, remarks = (of_data_set if config.dataset_dir else of_folder)(config, poses)
    unused += strangers
    notes += remarks
    if not poses:
        more = f" ({len(unused) - 1} more lines like this)" if len(unused) > 1 else ""
        raise UserError(f"no pose in {config.pose_dir} can be used: {unused[0]}{more}")
    weights = {role: fingerprint(path) for role, path in files.by_role().items()}
    jobs = [Job(out, tasks, _describe(config, tasks, poses, weights)) for out, tasks in folders.items()]
    for job in jobs:
        manifest.check(job.out, job.manifest, (picture for task in job.tasks for picture in task.pictures))
    return Plan(files, poses, jobs, unused, notes)


def _read_poses(config: GenerationConfig) -> tuple[list[Pose], list[str], list[str]]:
    """The poses, a line for each file that cannot be used, and notes."""
    paths, unused, notes = pictures_of(Path(config.pose_dir))
    preset = load_preset(config.preset)
    poses: list[Pose] = []
    for number, path in enumerate(paths, start=1):
        try:
            picture = read_pose_picture(path, config.pose_channel_order)
            _check_channels(path, picture, config.pose_channel_order)
        except UserError as error:
            unused.append(str(error))
            continue
        anew = redrawn(path, picture, preset)
        poses.append(Pose(number, path, anew or picture, config.preset if anew else ""))
        notes += [f"pose {printable(path)} {remark}" for remark in remarks_on(picture)]
    if anew := sum(bool(pose.redrawn_for) for pose in poses):
        folder = printable(config.pose_dir)
        notes.append(
            f"{anew} poses of {folder} are drawn anew from its keypoints.json, as preset {config.preset} has them"
        )
    return poses, unused, notes


def _check_channels(path: Path, picture: Image.Image, order: str) -> None:
    if looks_swapped(picture):
        (other,) = set(CHANNEL_ORDERS) - {order}
        raise UserError(
            f"pose {printable(path)} shows red and blue exchanged when read as pose_channel_order {order}; give "
            f"pose_channel_order {other} (and folders of one order only)"
        )


def _describe(
    config: GenerationConfig, tasks: Sequence[Task], poses: Sequence[Pose], weights: dict[str, str]
) -> manifest.Manifest:
    """The manifest of a folder. With official noise a picture also depends on which references and poses there are."""
    options = asdict(config)
    options["execution"] = execution_for(torch.device(config.device), DTYPES[config.dtype])
    settings = {name: options.pop(name) for name in DECISIVE} | {"grey_bits": grey_bits()}
    if config.official_noise:
        names = hashlib.sha256("\n".join(task.name for task in tasks).encode()).hexdigest()
        settings["official_noise"] = f"{len(poses)} poses of {len(tasks)} references {names}"
    several = {task.name: [path.name for path in task.references] for task in tasks if len(task.references) > 1}
    return manifest.describe(settings, options, {pose.name: _told(pose) for pose in poses}, weights, several)


def _told(pose: Pose) -> str:
    return fingerprint(pose.path) + (f", drawn anew for {pose.redrawn_for}" if pose.redrawn_for else "")
