"""The batch job behind `inference.py`: plan, run, write, resume.

A job turns a folder of references into pictures of the same people in every pose. What is whole on disk is
kept, so running the same command again goes on where the last run stopped.
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import torch
from PIL import Image
from tqdm import tqdm

from IPG import manifest
from IPG.canvas import make_canvas
from IPG.pictures import list_pictures, read_picture, write_picture
from IPG.pipeline import IPGPipeline
from IPG.poses import CHANNEL_ORDERS, read_pose_picture
from IPG.presets import load_preset
from NFC.errors import UserError
from NFC.extractors.base import default_directory
from NFC.features import pick_device

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
STANDS_FOR_ITSELF = ("-1", "0000")  # Market1501 names of junk and distractors: nobody to generate
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
    seed: int = 12580
    batch_size: int = 16  # pictures at a time
    device: str | None = None  # cuda where there is one
    dtype: str | None = None  # float32 on the CPU, bfloat16 elsewhere


def resolve(config: GenerationConfig) -> GenerationConfig:
    """Fill in, in place, what depends on the preset and the machine; `UserError` for values that cannot work."""
    sizes = load_preset(config.preset).generation
    if config.dataset_dir and (config.ref_dir or config.out_dir):
        raise UserError("dataset_dir says where pictures come from and go to; leave out ref_dir and out_dir")
    if not config.dataset_dir:
        config.ref_dir = config.ref_dir or "ref"
        config.out_dir = config.out_dir or f"outputs/{config.preset}"
    config.ckpt_dir = config.ckpt_dir or str(default_directory(config.preset))
    config.device = str(pick_device(config.device))
    config.dtype = config.dtype or ("float32" if config.device == "cpu" else "bfloat16")
    for name, choices in (("dtype", DTYPES), ("pose_channel_order", CHANNEL_ORDERS)):
        if getattr(config, name) not in choices:
            raise UserError(f"{name} '{getattr(config, name)}' is unknown; choose one of: {', '.join(choices)}")
    if config.guidance_scale is None:
        config.guidance_scale = sizes.guidance_scale
    if not 1 <= config.steps <= 1000:
        raise UserError(f"steps is {config.steps}; it must be 1 to 1000")
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


def generate(config: GenerationConfig) -> list[str]:
    """Run the job of a resolved config; return one line for each file that could not be used.

    These lines also go to stderr as they come up, beside the progress. Raises `UserError` for what makes the
    whole job impossible: missing folders or weights, an output folder that holds pictures of other settings.
    """
    failures: list[str] = []

    def report(line: str) -> None:
        failures.append(line)
        tqdm.write(line, file=sys.stderr)

    poses = _load_poses(config, report)
    jobs = list(_plan(config, poses, report))
    if not poses:
        return failures
    names = ("preset", "steps", "guidance_scale", "seed", "dtype", "pose_channel_order")
    settings = {name: getattr(config, name) for name in names}
    description = manifest.describe(settings, {pose.name: pose.path for pose in poses}, Path(config.ckpt_dir))
    for job in jobs:
        manifest.check(job.out, description)
    pipe = IPGPipeline.from_pretrained(
        config.ckpt_dir, preset=config.preset, device=config.device, dtype=DTYPES[config.dtype]
    )
    if pipe.vae is None:
        raise UserError(f"no picture autoencoder in {config.ckpt_dir}; put a diffusers VAE folder there as vae/")
    for job in jobs:
        manifest.save(job.out, description)
        _run(pipe, config, job, poses, report)
        manifest.save(job.out, description, failures)
    return failures


def _load_poses(config: GenerationConfig, report: Report) -> list[Pose]:
    poses = []
    for number, path in enumerate(_pictures_of(Path(config.pose_dir), report), start=1):
        if picture := _read(path, report, lambda p: read_pose_picture(p, config.pose_channel_order)):
            poses.append(Pose(f"pose{number}", path, picture))
    return poses


def _plan(config: GenerationConfig, poses: list[Pose], report: Report) -> Iterator[Job]:
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


def _run(pipe: IPGPipeline, config: GenerationConfig, job: Job, poses: list[Pose], report: Report) -> None:
    pose_features = pipe.encode_pose(pipe.preprocess_poses([pose.picture for pose in poses]))
    chunks = list(_chunks(job.tasks, poses, config.batch_size))
    wanted = sum(len(tasks) * len(missing) for tasks, missing in chunks)
    total = len(job.tasks) * len(poses)
    with tqdm(total=total, initial=total - wanted, unit="img", desc=job.out.name) as progress:
        for tasks, missing in chunks:
            loaded = [(task, picture) for task in tasks if (picture := _read(task.reference, report))]
            images = pipe(
                [picture for _, picture in loaded],
                None,
                num_inference_steps=config.steps,
                guidance_scale=config.guidance_scale,
                seed=config.seed,
                reference_names=[task.reference.name for task, _ in loaded],
                pose_names=[poses[i].path.name for i in missing],
                batch_size=config.batch_size,
                pose_features=pose_features[list(missing)],
            )
            for (task, reference), row in zip(loaded, images, strict=True):
                for i, image in zip(missing, row, strict=True):
                    write_picture(task.pictures[i], image)
                if task.canvas:
                    pictures = [read_picture(path) for path in task.pictures]
                    write_picture(task.canvas, make_canvas(reference, [pose.picture for pose in poses], pictures))
            progress.update(len(tasks) * len(missing))


def _chunks(tasks: list[Task], poses: list[Pose], batch_size: int) -> Iterator[tuple[list[Task], tuple[int, ...]]]:
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
