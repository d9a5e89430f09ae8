"""What a generation job has to do: its settings, the pictures it makes, and which of them are still lacking."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import torch
from accelerate import PartialState
from PIL import Image

from IPG.models import SCHEDULERS
from IPG.pictures import list_pictures, read_picture
from IPG.poses import CHANNEL_ORDERS, read_pose_picture
from IPG.presets import load_preset
from NFC.errors import UserError
from NFC.extractors.base import default_directory
from NFC.features import pick_device

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
STANDS_FOR_ITSELF = ("-1", "0000")  # Market1501 names of junk and distractors: nobody to generate
# Settings that decide what a picture looks like; a folder holds pictures of one choice of them.
DECISIVE = (
    "preset",
    "steps",
    "guidance_scale",
    "guidance_interval",
    "scheduler",
    "seed",
    "dtype",
    "pose_channel_order",
)
Report = Callable[[str], None]


@dataclass
class GenerationConfig:
    """Everything a job depends on. `resolve` replaces `None`."""

    preset: str = "sd15"
    ckpt_dir: str | None = None  # the preset's own place under pretrained/
    pose_dir: str = "standard_poses"
    pose_channel_order: str = "bgr"
    ref_dir: str | None = None  # ref
    out_dir: str | None = None  # outputs/<preset>
    dataset_dir: str | None = None  # a data set to fill, instead of ref_dir and out_dir
    splits: list[str] = field(default_factory=lambda: ["query", "bounding_box_test"])
    steps: int = 20
    guidance_scale: float | None = None  # the preset's own
    guidance_interval: list[float] = field(default_factory=lambda: [0.0, 1000.0])  # timesteps with guidance
    scheduler: str = "ddim"  # or dpm++, unipc, euler: as good with fewer steps
    seed: int = 12580
    batch_size: int = 16  # pictures read, drawn and written in one go; never changes a picture
    device: str | None = None  # cuda where there is one
    dtype: str | None = None  # float32 on the CPU, bfloat16 elsewhere
    attention: str = "sdpa"  # or xformers
    channels_last: bool = False  # memory format of the convolutions
    compile: bool = False  # torch.compile the repeated blocks: minutes at first, faster after


def resolve(config: GenerationConfig) -> GenerationConfig:
    """Fill in, in place, what depends on the preset and the machine; `UserError` for values that cannot work."""
    sizes = load_preset(config.preset).generation
    if config.dataset_dir and (config.ref_dir or config.out_dir):
        raise UserError("dataset_dir says where pictures come from and go to; leave out ref_dir and out_dir")
    if not config.dataset_dir:
        config.ref_dir = config.ref_dir or "ref"
        config.out_dir = config.out_dir or f"outputs/{config.preset}"
    config.ckpt_dir = config.ckpt_dir or str(default_directory(config.preset))
    config.device = str(pick_device(config.device or PartialState().device))
    config.dtype = config.dtype or ("float32" if config.device == "cpu" else "bfloat16")
    choices_of = {"dtype": DTYPES, "pose_channel_order": CHANNEL_ORDERS, "scheduler": SCHEDULERS}
    for name, choices in choices_of.items():
        if getattr(config, name) not in choices:
            raise UserError(f"{name} '{getattr(config, name)}' is unknown; choose one of: {', '.join(choices)}")
    if config.guidance_scale is None:
        config.guidance_scale = sizes.guidance_scale
    if not 1 <= config.steps <= 1000:
        raise UserError(f"steps is {config.steps}; it must be 1 to 1000")
    if len(config.guidance_interval) != 2:
        raise UserError(f"guidance_interval is {config.guidance_interval}; it must be two timesteps: least, most")
    if config.batch_size < 1:
        raise UserError(f"batch_size is {config.batch_size}; it must be at least 1")
    return config


@dataclass(frozen=True)
class Pose:
    """A pose picture, RGB in canonical colours. `name` is "pose<k>" for the k-th file, also that of its out folder."""

    name: str
    path: Path
    picture: Image.Image


@dataclass(frozen=True)
class Task:
    """A reference, where its pictures go (one a pose), and its canvas, None where no canvas is wanted."""

    reference: Path
    pictures: tuple[Path, ...]
    canvas: Path | None


@dataclass(frozen=True)
class Job:
    """A folder to fill."""

    out: Path
    tasks: list[Task]


# References, and the indices of the poses that all of them lack.
Chunk = tuple[list["Task"], tuple[int, ...]]


def load_poses(config: GenerationConfig, report: Report) -> list[Pose]:
    poses = []
    for number, path in enumerate(_pictures_of(Path(config.pose_dir), report), start=1):
        if picture := _read(path, report, lambda p: read_pose_picture(p, config.pose_channel_order)):
            poses.append(Pose(f"pose{number}", path, picture))
    return poses


def plan_jobs(config: GenerationConfig, poses: list[Pose], report: Report) -> Iterator[Job]:
    """The folders to fill: `out_dir`, or `<split>_gen` beside each split of a data set in the Market1501 layout."""
    if config.dataset_dir:
        sources = [Path(config.dataset_dir, split) for split in config.splits]
        folders = [(source, source.with_name(f"{source.name}_gen")) for source in sources]
    else:
        folders = [(Path(config.ref_dir), Path(config.out_dir))]
    for source, out in folders:
        references = _pictures_of(source, report)
        if out.resolve() == source.resolve():
            raise UserError(f"out_dir {out} is the folder of the references; name another")
        if config.dataset_dir:
            references = [path for path in references if not path.name.startswith(STANDS_FOR_ITSELF)]
        tasks = [
            Task(
                reference=path,
                pictures=tuple(out / pose.name / path.name for pose in poses),
                canvas=None if config.dataset_dir else out / path.name,
            )
            for path in references
        ]
        yield Job(out, tasks)


def _pictures_of(folder: Path, report: Report) -> list[Path]:
    pictures, strangers = list_pictures(folder)
    if not pictures and not strangers:
        raise UserError(f"folder {folder} holds no pictures; put some there or name another")
    for path in strangers:
        report(f"{path} is not a picture file; skipped")
    return pictures


def _read(path: Path, report: Report, read: Callable[[Path], Image.Image] = read_picture) -> Image.Image | None:
    try:
        return read(path)
    except UserError as error:
        report(str(error))
        return None


def unfinished_chunks(tasks: list[Task], poses: list[Pose], batch_size: int) -> Iterator[Chunk]:
    """Unfinished tasks with the indices of the poses they lack; about `batch_size` pictures a chunk."""
    states = [(task, _missing(task, poses)) for task in tasks]
    unfinished = [(task, missing) for task, missing in states if missing or not _has_canvas(task)]
    for missing, group in groupby(unfinished, key=lambda state: state[1]):
        members = [task for task, _ in group]
        together = max(1, batch_size // max(1, len(missing)))
        for start in range(0, len(members), together):
            yield members[start : start + together], missing


def _missing(task: Task, poses: list[Pose]) -> tuple[int, ...]:
    pairs = zip(task.pictures, poses, strict=True)
    return tuple(i for i, (out, pose) in enumerate(pairs) if not _is_fresh(out, task.reference, pose.path))


def _has_canvas(task: Task) -> bool:
    return task.canvas is None or _is_fresh(task.canvas, *task.pictures)


def _is_fresh(path: Path, *sources: Path) -> bool:
    """Whether a picture is whole on disk and no older than what it was made from."""
    if not path.is_file() or path.stat().st_mtime_ns < max(source.stat().st_mtime_ns for source in sources):
        return False
    try:
        read_picture(path)
    except UserError:
        return False
    return True
