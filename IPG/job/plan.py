"""What a generation job has to do: the pictures it makes, and which of them are still lacking."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from PIL import Image

from NFC.datasets import Record, build_dataset, generated_paths
from pose2id.devices import usable_cores
from pose2id.errors import UserError
from pose2id.pictures import list_pictures, read_picture

from ..poses import read_pose_picture
from .settings import GenerationConfig

Report = Callable[[str], None]


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
    """A folder to fill."""

    out: Path
    tasks: list[Task]


# References, and the indices of the poses that all of them lack.
Chunk = tuple[list["Task"], tuple[int, ...]]


def load_poses(config: GenerationConfig, report: Report) -> list[Pose]:
    poses = []
    for number, path in enumerate(_pictures_of(Path(config.pose_dir), report), start=1):
        if picture := _read(path, report, lambda p: read_pose_picture(p, config.pose_channel_order)):
            poses.append(Pose(number, path, picture))
    return poses


def plan_jobs(config: GenerationConfig, poses: Sequence[Pose], report: Report) -> list[Job]:
    """The folders to fill: `out_dir`, or `<split folder>_gen` beside each folder of a data set."""
    return _data_set_jobs(config, poses) if config.dataset_dir else [_folder_job(config, poses, report)]


def _folder_job(config: GenerationConfig, poses: Sequence[Pose], report: Report) -> Job:
    source, out = Path(config.ref_dir), Path(config.out_dir)
    if out.resolve() == source.resolve():
        raise UserError(f"out_dir {out} is the folder of the references; name another")
    references = sorted(_pictures_of(source, report))
    tasks = [
        Task(path, path.name, turn, tuple(out / pose.name / path.name for pose in poses), canvas=out / path.name)
        for turn, path in enumerate(references)
    ]
    return Job(out, tasks)


def _data_set_jobs(config: GenerationConfig, poses: Sequence[Pose]) -> list[Job]:
    """Nobody is drawn for distractors: they show nobody in particular, and stand for themselves."""
    dataset = build_dataset(config.dataset, config.dataset_dir, **config.dataset_options)
    records = [record for split in config.splits for record in getattr(dataset, split)]
    of_folder: dict[Path, dict[Path, Record]] = {}
    for record in records:
        if record.pid not in dataset.distractors:
            of_folder.setdefault(record.folder or record.path.parent, {})[record.path] = record
    jobs = []
    for folder, members in sorted(of_folder.items()):
        tasks = []
        for turn, (path, record) in enumerate(sorted(members.items())):
            places = generated_paths(record, max((pose.number for pose in poses), default=0))
            nested = path.parent != folder  # there, file names repeat
            name = path.relative_to(folder.parent).as_posix() if nested else path.name
            tasks.append(Task(path, name, turn, tuple(places[pose.number - 1] for pose in poses), canvas=None))
        jobs.append(Job(folder.with_name(f"{folder.name}_gen"), tasks))
    if not jobs:
        raise UserError(f"{config.dataset} at {config.dataset_dir}: {', '.join(config.splits)} show nobody to draw")
    return jobs


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


def unfinished_chunks(tasks: Sequence[Task], poses: Sequence[Pose], batch_size: int) -> Iterator[Chunk]:
    """Unfinished tasks, in order, with the indices of the poses they lack; about `batch_size` pictures a chunk."""
    with ThreadPoolExecutor(usable_cores()) as threads:
        states = list(zip(tasks, threads.map(lambda task: _missing(task, poses), tasks), strict=True))
    unfinished = [(task, missing) for task, missing in states if missing or not _has_canvas(task)]
    for missing, group in groupby(unfinished, key=lambda state: state[1]):
        members = [task for task, _ in group]
        together = max(1, batch_size // max(1, len(missing)))
        for start in range(0, len(members), together):
            yield members[start : start + together], missing


def _missing(task: Task, poses: Sequence[Pose]) -> tuple[int, ...]:
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
