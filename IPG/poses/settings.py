"""Settings of the job that estimates poses: what they are and what they default to."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from pose2id.devices import pick_device
from pose2id.errors import UserError
from pose2id.presets import preset_file
from pose2id.processes.claims import keep_outside
from pose2id.settings.given import check_not_given
from pose2id.settings.ranges import BATCH, PIXELS, check_ranges

from ..splits import check_splits
from .clean import CleanConfig
from .estimate import WEIGHTS
from .estimators import ESTIMATORS, default_weights
from .records import poses_folder


@dataclass
class PrepareConfig:
    """Everything a job depends on. `resolve` replaces `None`."""

    preset: str = "sd15"  # mini: the small ViTPose that comes with this repository
    estimator: str = "vitpose"  # or openpose, or json: keypoints of another program
    weights: str | None = None  # their folder; for json the folder or file of keypoints
    dataset: str | None = None  # layout of dataset_dir: market1501, sysu_mm01, ...
    dataset_dir: str | None = None  # a data set
    dataset_options: dict[str, str] = field(default_factory=dict)
    splits: list[str] = field(default_factory=lambda: ["train", "query", "gallery"])
    picture_dir: str | None = None  # or any folder of pictures, with the folders in it
    out_dir: str | None = None  # <dataset_dir or picture_dir>_poses
    draw: bool = True  # pose pictures, for looking at them and for `pose2id generate`
    height: int = 128  # of pose pictures
    width: int = 64
    batch_size: int = 64
    device: str | None = None  # cuda where there is one
    clean: CleanConfig = field(default_factory=CleanConfig)


def resolve(config: PrepareConfig) -> PrepareConfig:
    """The config with all that depends on other values filled in; `UserError` for values that cannot work."""
    if (config.dataset_dir is None) == (config.picture_dir is None):
        raise UserError("name either dataset_dir, a data set, or picture_dir, a folder of pictures")
    if config.dataset and not config.dataset_dir:
        raise UserError(f"dataset {config.dataset} needs dataset_dir, the folder it lies in")
    preset_file(config.preset)
    _check(config)
    source = Path(config.dataset_dir or config.picture_dir)
    out = config.out_dir or str(poses_folder(source))
    if config.picture_dir:
        keep_outside(Path(out), source, "out_dir")
    device = str(pick_device(config.device))
    weights = config.weights
    if not weights and config.estimator not in WEIGHTS:
        raise UserError(
            f"estimator {config.estimator} needs weights, the folder of OpenPose's JSON files or the .jsonl file"
        )
    return replace(
        config,
        dataset=config.dataset or ("market1501" if config.dataset_dir else None),
        out_dir=out,
        device=device,
        weights=weights or str(default_weights(config.estimator, config.preset)),
    )


def _check(config: PrepareConfig) -> None:
    if config.estimator not in ESTIMATORS:
        raise UserError(f"estimator '{config.estimator}' is unknown; choose one of: {', '.join(ESTIMATORS)}")
    check_splits(config.splits)
    if not config.dataset_dir:
        check_not_given(config, ("dataset_options", "splits"), "dataset_dir, a data set")
    check_ranges(config, {"batch_size": BATCH, "height": PIXELS, "width": PIXELS})
