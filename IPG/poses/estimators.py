"""The pose estimators by name, and where their weights are."""

from collections.abc import Callable
from pathlib import Path

from pose2id.presets import default_directory, load_preset
from pose2id.resources import weights_place

from .estimate import WEIGHTS, Estimator, OpenPose, ViTPose
from .keypoint_files import KeypointFiles

# By name: built of its weights, or of other people's keypoints, on a device.
ESTIMATORS: dict[str, Callable[[Path, str], Estimator]] = {
    "vitpose": ViTPose,
    "openpose": OpenPose,
    "json": lambda source, device: KeypointFiles(source),
}


def default_weights(estimator: str, preset: str) -> Path:
    """Where the weights of an estimator are: those of the full size in `pretrained/`, or the small ones shipped."""
    own = load_preset(preset).pose_estimator
    if own and estimator == "vitpose":
        return default_directory(preset) / own
    return weights_place() / WEIGHTS[estimator].folder


def build_estimator(estimator: str, weights: str | Path, device: str = "cpu") -> Estimator:
    """One of `ESTIMATORS`; `UserError` says what is missing and where to get it."""
    return ESTIMATORS[estimator](Path(weights), device)
