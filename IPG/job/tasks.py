"""What is drawn and where it goes: the people of a folder, or those of a data set."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from NFC.datasets import Dataset, Record, build_dataset, generated_paths
from pose2id.errors import UserError, printable
from pose2id.reading.listing import LeftOut, find_deeper, is_side_folder, list_pictures, natural_key, why_not

from ..networks import MOST_PICTURES
from ..poses.prepare import KEYPOINTS
from ..poses.records import PoseRecord, poses_folder, read_records
from ..splits import split_records
from .references import choose, look_at
from .settings import GenerationConfig


@dataclass(frozen=True)
class Pose:
    """A pose picture, RGB in canonical colours: the `number`-th file of its folder, from 1.

    redrawn_for: the preset that it was drawn anew for, "" where it is as in its file.
    """

    number: int
    path: Path
    picture: Image.Image
    redrawn_for: str = ""

    @property
    def name(self) -> str:
        """Also the name of the folder that its pictures go to."""
        return f"pose{self.number}"


@dataclass(frozen=True)
class Task:
    """A person's references, where the pictures go (one a pose), and the canvas, None where no canvas is wanted.

    `name` is what its noise comes from, unlike any other of the job; `turn` counts the people of its folder.
    """

    references: tuple[Path, ...]
    name: str
    turn: int
    pictures: tuple[Path, ...]
    canvas: Path | None


Folders = dict[Path, list[Task]]  # each folder to fill -> what goes there
Found = tuple[Folders, list[str], list[str]]  # and a line for each file that cannot be used, and notes


def of_folder(config: GenerationConfig, poses: Sequence[Pose]) -> Found:
    """A picture is a person, and so is a folder of pictures: of these all are seen, or the best of them.

    Pictures of `ann/` go where those of `ann.png` would.
    """
    source, out = Path(config.ref_dir), Path(config.out_dir)
    if out.resolve() == source.resolve():
        raise UserError(f"out_dir {out} is the folder of the references; name another")
    folders = _people_folders(source, out)
    references, strangers, notes = pictures_of(source, out, set(folders))
    people = {path.name: (path,) for path in references}
    for folder in folders:
        name = f"{folder.name}.png"
        if name in people:
            raise UserError(f"{printable(folder)} and {printable(source / name)} are one person; rename one of them")
        pictures, others, deeper = pictures_of(folder, out)
        people[name], faults = _best(pictures, config.references_per_person or MOST_PICTURES)
        strangers, notes = [*strangers, *others, *faults], [*notes, *deeper, _seen(folder, people[name], pictures)]
    tasks = [
        Task(paths, name, turn, tuple(out / pose.name / name for pose in poses), canvas=out / name)
        for turn, (name, paths) in enumerate(sorted(people.items()))
    ]
    return {out: tasks}, strangers, notes


def _people_folders(source: Path, out: Path) -> list[Path]:
    """The folders directly in `source` that may each hold the pictures of a person, in natural order."""
    if not source.is_dir():
        return []  # `pictures_of` says it
    folders = [path for path in source.iterdir() if path.is_dir() and not is_side_folder(path.name)]
    return sorted((path for path in folders if not out.resolve().is_relative_to(path.resolve())), key=natural_key)


def _seen(folder: Path, chosen: Sequence[Path], pictures: Sequence[Path]) -> str:
    count = f"{len(chosen)} of {len(pictures)}" if len(chosen) < len(pictures) else f"{len(chosen)}"
    return f"{printable(folder)} is one person: {count} pictures are seen"


def _best(pictures: Sequence[Path], count: int) -> tuple[tuple[Path, ...], list[str]]:
    """The sharpest picture and `count` - 1 more, and a line for each that cannot be read, if there is a choice."""
    if len(pictures) <= count:
        return tuple(pictures), []
    readable, faults = look_at(pictures, {})
    if not readable:
        return tuple(pictures[:count]), []  # whoever draws from them says it
    paths, looks = list(readable), list(readable.values())
    first = max(range(len(looks)), key=lambda number: looks[number].sharpness)
    return tuple(paths[number] for number in choose(looks, first, count)), [
        printable(fault) for fault in faults.values()
    ]


def of_data_set(config: GenerationConfig, poses: Sequence[Pose]) -> Found:
    """`<split folder>_gen` beside each folder of a data set.

    Nobody is drawn for distractors: they show nobody in particular, and stand for themselves.
    """
    dataset = build_dataset(config.dataset, config.dataset_dir, **config.dataset_options)
    records = [r for r in split_records(dataset, config.splits) if r.pid not in dataset.distractors]
    of_folder: dict[Path, dict[Path, Record]] = {}
    for record in records:
        of_folder.setdefault(record.folder or record.path.parent, {})[record.path] = record
    if not of_folder:
        raise UserError(f"{config.dataset} at {config.dataset_dir}: {', '.join(config.splits)} show nobody to draw")
    beside, notes = _others(config, dataset, records)
    folders: Folders = {}
    for folder, members in sorted(of_folder.items()):
        tasks = []
        for turn, (path, record) in enumerate(sorted(members.items())):
            places = generated_paths(record, max((pose.number for pose in poses), default=0))
            nested = path.parent != folder  # there, file names repeat
            name = path.relative_to(folder.parent).as_posix() if nested else path.name
            pictures = tuple(places[pose.number - 1] for pose in poses)
            tasks.append(Task((path, *beside.get(path, ())), name, turn, pictures, canvas=None))
        folders[folder.with_name(f"{folder.name}_gen")] = tasks
    return folders, [], notes


def _others(
    config: GenerationConfig, dataset: Dataset, records: Iterable[Record]
) -> tuple[Mapping[Path, tuple[Path, ...]], list[str]]:
    """Picture -> those of the same person, folder and kind of camera that are seen with it; and notes."""
    count = config.references_per_person or 1
    if count == 1:
        return {}, []
    together: dict[tuple, list[Path]] = {}
    for record in records:
        key = record.pid, record.folder or record.path.parent, record.camid in dataset.infrared
        together.setdefault(key, []).append(record.path)
    poses = _known_poses(dataset.root)
    paths = [path for own in together.values() if len(own) > 1 for path in own]
    looks, _ = look_at(paths, poses)  # one that cannot be read is told of where it is drawn from
    beside = {}
    for own in together.values():
        own = [path for path in own if path in looks]
        for number, path in enumerate(own):
            beside[path] = tuple(own[i] for i in choose([looks[other] for other in own], number, count)[1:])
    lacking = sum(path not in poses for path in paths)
    where = f"{lacking:,} of {len(paths):,} pictures have no pose in {printable(poses_folder(dataset.root))}"
    note = f"{where}: further references are chosen by sharpness alone there; `pose2id poses prepare` writes poses"
    return beside, [note] if lacking else []


def _known_poses(root: Path) -> dict[Path, PoseRecord]:
    """What `pose2id poses prepare` knows of the pictures of a data set, if it was run."""
    file = poses_folder(root) / KEYPOINTS
    return {root / record.path: record for record in read_records(file)} if file.is_file() else {}


def pictures_of(
    folder: Path, out: Path | None = None, people: set[Path] | None = None
) -> tuple[list[Path], list[str], list[str]]:
    """The pictures of a folder, a line for each file that is none, and one on pictures in folders below it.

    out: a folder below it that is nobody's fault. people: folders in it that are read for themselves; then it may hold
    no pictures of its own.
    """
    pictures, strangers = list_pictures(folder)
    deeper = LeftOut() if people else find_deeper(folder, out)
    notes = [f"{printable(folder)}: {deeper}"] if str(deeper) else []
    if not pictures and not strangers and not people:
        hint = f"; {deeper}" if notes else ""
        raise UserError(f"folder {folder} holds no pictures; put some there or name another{hint}")
    return pictures, [f"{printable(path)} {why_not(path)}; skipped" for path in strangers], notes
