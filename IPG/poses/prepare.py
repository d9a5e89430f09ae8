"""The job behind `pose2id poses prepare`: estimate the pose of every picture, draw it, resume, clean.

Each process appends what it has estimated to a file of its own, batch by batch, so a killed run loses at most the
batch in hand. The main process joins these files into `keypoints.jsonl` at the start and at the end of a run.
"""

import sys
from collections.abc import Container, Sequence
from pathlib import Path

from accelerate import PartialState
from accelerate.utils import gather_object
from PIL import Image
from tqdm import tqdm

from NFC.datasets import build_dataset
from pose2id.devices import this_process
from pose2id.errors import UserError, printable
from pose2id.files import NameRefused, fingerprint, remove_leftovers, writing
from pose2id.pictures import read_picture
from pose2id.presets import SkeletonSizes, load_preset
from pose2id.processes.locks import locked

from ..job import manifest
from .clean import clean, sharpness, sure_joints
from .estimate import WEIGHTS, Estimator
from .estimators import build_estimator, default_weights
from .find import Found, check_keypoints, of_dataset, of_folder
from .keypoint_files import KeypointFiles
from .records import PoseRecord, read_records, write_records
from .settings import PrepareConfig
from .skeleton import draw_skeleton, write_pose_picture

__all__ = ["build_estimator", "default_weights", "prepare"]  # the first two under their earlier name

KEYPOINTS = "keypoints.jsonl"
PICTURES = "pictures"


def prepare(config: PrepareConfig) -> tuple[dict[str, int], list[str]]:
    """Run a resolved job; returns the counts of the cleaning and a line for each picture that cannot be read.

    `out_dir` gets keypoints.jsonl (see `PoseRecord`), pictures/<path>.png in the convention of `standard_poses/`, what
    `clean` writes, and manifest.json with what all of it was made with. `UserError` where another run works in it.
    """
    process = this_process()
    found = _find(config)
    root, names = found.root, found.names
    out = Path(config.out_dir)
    estimator = build_estimator(config.estimator, config.weights, config.device)
    if isinstance(estimator, KeypointFiles):
        check_keypoints(estimator, names, root)
    description = _describe(config)
    manifest.check(out, description)
    with locked(out, here=process.is_main_process):
        if process.is_main_process:
            remove_leftovers(out)
            manifest.save(out, description)
            _join(out, names, without=_outdated(out, root))
        process.wait_for_everyone()
        done = {record.path for record in _read_joined(out)}
        share = [name for name in names if name not in done][process.process_index :: process.num_processes]
        failures = _estimate(estimator, config, root, share, process)
        failures = gather_object(failures) if process.num_processes > 1 else failures
        failures += found.unusable
        process.wait_for_everyone()
        counts: dict[str, int] = {}
        if process.is_main_process:
            counts = clean(_join(out, names), root, out, config.clean)
            manifest.save(out, description, failures)
    return counts, failures


def _find(config: PrepareConfig) -> Found:
    if not config.dataset_dir:
        return of_folder(Path(config.picture_dir))
    return of_dataset(build_dataset(config.dataset, config.dataset_dir, **config.dataset_options), config.splits)


def _describe(config: PrepareConfig) -> manifest.Manifest:
    settings = {"estimator": config.estimator}
    if config.draw:
        thickness = load_preset(config.preset).skeleton
        settings |= {"size": f"{config.height} x {config.width}", "confidence": config.clean.confidence}
        settings["skeleton"] = f"limbs {thickness.limb:g}, joints {thickness.joint:g}"
    weights = Path(config.weights)
    if config.estimator in WEIGHTS:
        weights /= WEIGHTS[config.estimator].files[-1]
    files = {"weights": fingerprint(weights)} if weights.is_file() else {}
    return manifest.describe(settings, {"weights": config.weights, "batch_size": config.batch_size}, {}, files)


def _read_joined(out: Path) -> list[PoseRecord]:
    return read_records(out / KEYPOINTS) if (out / KEYPOINTS).is_file() else []


def _outdated(out: Path, root: Path) -> set[str]:
    """The pictures with poses that were changed since: newer than these, and not of the size and sharpness noted."""
    if not (out / KEYPOINTS).is_file():
        return set()
    written = (out / KEYPOINTS).stat().st_mtime_ns
    records = [record for record in _read_joined(out) if (root / record.path).is_file()]
    newer = [record for record in records if (root / record.path).stat().st_mtime_ns > written]
    return {record.path for record in newer if not _shows(record, root)}


def _shows(record: PoseRecord, root: Path) -> bool:
    try:
        picture = read_picture(root / record.path)
    except UserError:
        return False
    noted = record.width, record.height, round(record.sharpness, 4)
    return noted == (picture.width, picture.height, round(sharpness(picture), 4))


def _join(out: Path, names: Sequence[str], without: Container[str] = ()) -> list[PoseRecord]:
    """Put what all processes have written into one file, in the order of `names`; others, of other splits, follow.

    Of the pictures in `without` nothing is kept.

    Returns the records of `names` that are there.
    """
    parts = sorted(out.glob(f"{KEYPOINTS}.part*"))
    records = {record.path: record for record in _read_joined(out)}
    records |= {record.path: record for part in parts for record in read_records(part, partial=True)}
    records = {path: record for path, record in records.items() if path not in without}
    wanted = [records.pop(name) for name in names if name in records]
    write_records(out / KEYPOINTS, [*wanted, *records.values()])
    for part in parts:
        part.unlink()
    return wanted


def _estimate(
    estimator: Estimator, config: PrepareConfig, root: Path, names: Sequence[str], process: PartialState
) -> list[str]:
    """Estimate this process's share; returns a line for each picture that cannot be read, or drawn for its name."""
    failures, thickness = [], load_preset(config.preset).skeleton
    part = Path(config.out_dir) / f"{KEYPOINTS}.part{process.process_index}"
    bar = tqdm(total=len(names), desc="poses", unit="picture", disable=not process.is_main_process)
    with bar as progress, writing(part), part.open("a", encoding="utf-8") as file:
        for start in range(0, len(names), config.batch_size):
            batch = {}
            for name in names[start : start + config.batch_size]:
                try:
                    batch[name] = read_picture(root / name)
                except UserError as error:
                    _fail(error, failures)
            for record in _records(estimator, batch):
                try:
                    if config.draw:
                        _draw(record, config, thickness)
                except NameRefused as error:
                    _fail(error, failures)
                else:
                    file.write(record.to_line())
            file.flush()
            progress.update(min(config.batch_size, len(names) - start))
    return failures


def _fail(error: UserError, failures: list[str]) -> None:
    failures.append(printable(error))
    tqdm.write(failures[-1], file=sys.stderr)


def _records(estimator: Estimator, pictures: dict[str, Image.Image]) -> list[PoseRecord]:
    if not pictures:
        return []
    poses = estimator(list(pictures), list(pictures.values()))
    return [
        PoseRecord(name, picture.width, picture.height, sharpness(picture), points)
        for (name, picture), points in zip(pictures.items(), poses, strict=True)
    ]


def _draw(record: PoseRecord, config: PrepareConfig, thickness: SkeletonSizes) -> None:
    """Write `pictures/<path>.png` of the job's size."""
    points = sure_joints(record.keypoints, config.clean.confidence)
    points[:, :2] = (points[:, :2] + 0.5) * [config.width / record.width, config.height / record.height] - 0.5
    place = Path(config.out_dir) / PICTURES / f"{record.path}.png"
    write_pose_picture(place, draw_skeleton(points, (config.height, config.width), thickness))
