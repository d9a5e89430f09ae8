"""Which of a person's pictures to draw from: sharp ones, with all of the body, seen from other sides.

The paper draws from one picture. What is chosen here, and how, is ours.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pose2id.devices import usable_cores
from pose2id.errors import UserError
from pose2id.pictures import read_picture

from ..poses.clean import sharpness
from ..poses.error import figure_height
from ..poses.records import PoseRecord
from ..poses.skeleton import KEYPOINT_ROW

CONFIDENT = 0.3  # joints that are less sure count as hidden
# Of somebody who faces the camera, the distance of the shoulders; of somebody in profile, that of nose and neck: both
# over the height of the figure, and about.
SHOULDERS, NOSE = 0.18, 0.08
UNKNOWN = 0.5  # how new a side is that nobody knows


@dataclass(frozen=True)
class Look:
    """What speaks for a picture. facing: (2,), towards the camera (1: frontal, -1: from behind) and to the right.

    visibility: share of the joints that are seen; 1 without keypoints, as facing is None then.
    """

    sharpness: float
    visibility: float = 1.0
    facing: np.ndarray | None = None


def look_at(
    pictures: Sequence[Path], poses: Mapping[Path, PoseRecord]
) -> tuple[dict[Path, Look], dict[Path, UserError]]:
    """The look of each picture, and why others cannot be read.

    Where no pose is known, a look is its sharpness alone, for which the picture is read.
    """

    def look(path: Path) -> Look | UserError:
        record = poses.get(path)
        if record is None:
            try:
                return Look(sharpness(read_picture(path)))
            except UserError as error:
                return error
        seen = record.keypoints[:, 2] >= CONFIDENT
        return Look(record.sharpness, float(seen.mean()), facing(record.keypoints))

    with ThreadPoolExecutor(usable_cores()) as threads:
        found = dict(zip(pictures, threads.map(look, pictures), strict=True))
    faults = {path: one for path, one in found.items() if isinstance(one, UserError)}
    return {path: one for path, one in found.items() if isinstance(one, Look)}, faults


def facing(keypoints: np.ndarray) -> np.ndarray | None:
    """(18, 3) -> unit vector: how far the shoulders are turned to the camera, and the nose to the right of the neck.

    None where the shoulders are not seen, or it cannot be told.
    """
    seen = keypoints[:, 2] >= CONFIDENT
    height = figure_height(np.column_stack([keypoints[:, :2], seen]))
    right, left, nose, neck = (KEYPOINT_ROW[name] for name in ("right_shoulder", "left_shoulder", "nose", "neck"))
    if not (seen[right] and seen[left]) or not height > 0:
        return None
    frontal = (keypoints[left, 0] - keypoints[right, 0]) / (SHOULDERS * height)
    to_right = (keypoints[nose, 0] - keypoints[neck, 0]) / (NOSE * height) if seen[nose] and seen[neck] else 0
    direction = np.clip([frontal, to_right], -1, 1)
    length = np.linalg.norm(direction)
    return direction / length if length > 0.1 else None


def choose(looks: Sequence[Look], first: int, count: int) -> list[int]:
    """`first`, and of the others, one after the other, the best: good pictures of sides not chosen yet.

    What counts is (sharpness over the sharpest's) x visibility x (1 + how new its side is, 0 to 1).
    """
    sharpest = max((look.sharpness for look in looks), default=0) or 1.0
    chosen, left = [first], [number for number in range(len(looks)) if number != first]
    while left and len(chosen) < count:
        taken = [looks[number] for number in chosen]
        worth = [
            looks[number].sharpness / sharpest * looks[number].visibility * (1 + _newness(looks[number], taken))
            for number in left
        ]
        chosen.append(left.pop(int(np.argmax(worth))))
    return chosen


def _newness(look: Look, taken: Sequence[Look]) -> float:
    """0 for a side that is among those taken, 1 for the opposite of all of them."""
    known = [other.facing for other in taken if other.facing is not None]
    if look.facing is None or not known:
        return UNKNOWN
    return float(min((1 - look.facing @ other) / 2 for other in known))
