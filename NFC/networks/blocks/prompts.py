"""KPR's prompts: keypoints of the person who is meant, and of people who are not, as heatmaps."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pose2id.errors import UserError
from pose2id.reading.files import fault_of
from pose2id.reading.text import mapping, number_rows, read_json

CHANNELS = 8
KEYPOINTS = 17  # COCO's
MIN_CONFIDENCE = 0.3
NAMES = ("background", "other people", "head", "left arm", "right arm", "left leg", "right leg", "torso")
# Of channels 2 to 7.
GROUPS = ((0, 1, 2, 3, 4), (7, 9), (8, 10), (13, 15), (14, 16), (5, 6, 11, 12))
OTHER_SIDE = [0, 1, 2, 4, 3, 6, 5, 7]  # the channel that each becomes in a mirror


def prompt_heatmaps(people: Sequence[np.ndarray], source: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """A prompt (8, H, W) float32 in [0, 1]; without keypoints it says nothing: all is background.

    people: (17, 3) COCO keypoints (x, y, confidence) in pixels of the picture, the person who is meant first. source:
    (height, width) of the picture; size: (H, W). Heatmaps of a group's keypoints are joined by their maximum; the
    background is what the others leave. Source: the keypoint prompts of KPR.
    """
    prompt = np.zeros((CHANNELS, *size), dtype=np.float32)
    for number, keypoints in enumerate(people):
        heatmaps = [_heatmap(point, source, size) for point in keypoints]
        if number == 0:
            prompt[2:] = [np.maximum.reduce([heatmaps[i] for i in group]) for group in GROUPS]
        else:
            prompt[1] = np.maximum.reduce([prompt[1], *heatmaps])
    prompt[0] = np.clip(1 - prompt[1:].sum(0), 0, 1)
    return torch.from_numpy(prompt)


def swap_sides(prompts: Tensor) -> Tensor:
    """(B, 8, H, W) -> the same with left and right limbs exchanged, for the prompts of mirrored pictures."""
    return prompts[:, OTHER_SIDE]


def _heatmap(point: np.ndarray, source: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """(H, W) float32: a Gaussian with peak 1, cut at a square around the keypoint; zero where it is not sure enough."""
    heatmap = np.zeros(size, dtype=np.float32)
    x, y, confidence = point
    column, row = int(x * size[1] / source[1]), int(y * size[0] / source[0])
    if confidence <= MIN_CONFIDENCE:
        return heatmap
    radius = size[1] // 11
    deviation = (2 * radius + 1) / 4
    rows, columns = (
        np.arange(max(0, centre - radius), min(length, centre + radius + 1))
        for centre, length in ((row, size[0]), (column, size[1]))
    )
    if len(rows) and len(columns):
        squares = (rows[:, None] - row) ** 2 + (columns - column) ** 2
        heatmap[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = np.exp(-squares / (2 * deviation**2))
    return heatmap


def keypoint_file(folder: Path, picture: Path) -> Path | None:
    """`<folder>/<split>/<file name>_keypoints.json` of a picture of that split, or None for a generated picture.

    The split is the name of one of the three folders above the picture. `UserError` when there is no such file.
    """
    path = find_keypoint_file(folder, picture)
    if path is None and not is_generated(picture):
        raise UserError(f"no keypoints for {picture} in {folder}: expected <split>/{picture.name}_keypoints.json there")
    return path


def find_keypoint_file(folder: Path, picture: Path) -> Path | None:
    """The same, and None also where there is no such file."""
    if is_generated(picture):
        return None
    splits = [parent.name for parent in picture.parents][:3]
    paths = [folder / name / f"{picture.name}_keypoints.json" for name in splits if name]
    return next((path for path in paths if not fault_of(path)), None)


def is_generated(picture: Path) -> bool:
    return any(parent.name.endswith("_gen") for parent in picture.parents)


def read_people(path: Path, source: tuple[int, int]) -> list[np.ndarray]:
    """The people (17, 3) of a keypoint file, the target first; keypoints outside the picture get confidence 0.

    The file is a JSON list of skeletons with `keypoints` and, where it is known, `is_target`; without, the first is
    the target. source: (height, width). A damaged file raises `UserError`.
    """
    skeletons = read_json(path, "keypoint file", "make the file again")
    if not isinstance(skeletons, list):
        raise UserError(f"cannot read keypoints from {path}: it holds no list of skeletons; make the file again")
    people, targets = [], []
    for number, skeleton in enumerate(skeletons):
        where = f"cannot read keypoints from {path}: skeleton {number}"
        keypoints = number_rows(mapping(skeleton, where, "keypoints")["keypoints"], where)
        if len(keypoints) != KEYPOINTS:
            raise UserError(f"{where} has {len(keypoints)} keypoints, not COCO's {KEYPOINTS}; make the file again")
        people.append(keypoints)
        targets.append(bool(skeleton.get("is_target", False)))
    if any(targets):
        people.insert(0, people.pop(targets.index(True)))
    for keypoints in people:
        x, y = keypoints[:, 0], keypoints[:, 1]
        keypoints[(x < 0) | (y < 0) | (x >= source[1]) | (y >= source[0])] = 0
    return people
