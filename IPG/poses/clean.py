"""Automatic cleaning: which pictures of a data set are fit to learn from, and why the others are not.

The paper (arXiv 2503.00938, section on implementation) drops pictures that are unfit before training; it names no
figures, so the thresholds here are ours.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw

from pose2id.files import write_text
from pose2id.pictures import read_picture, write_picture
from pose2id.settings.ranges import OPTIONAL, SHARE, Range, check_ranges

from ..job.canvas import make_grid
from .error import figure_height
from .records import PoseRecord
from .skeleton import KEYPOINT_NAMES, KEYPOINT_ROW, draw_skeleton

SHARPNESS_ROWS = 128
EXAMPLES = 8  # of each reason on the contact sheet
CELL = (64, 128)

BODY = [row for row, name in enumerate(KEYPOINT_NAMES) if not name.endswith(("nose", "eye", "ear"))]
# Bones and their usual length in body heights (Drillis and Contini, 1966).
BONES = {("shoulder", "elbow"): 0.186, ("elbow", "wrist"): 0.146, ("hip", "knee"): 0.245, ("knee", "ankle"): 0.246}
TRUNK = 0.288  # shoulders to hips


RANGES = {
    "min_height": OPTIONAL,
    "min_width": OPTIONAL,
    "min_sharpness": Range(0, 1e6),
    "confidence": SHARE,
    "min_joints": Range(0, 13),
    "max_bone": Range(0, 1e6),
    "min_figure": Range(0, 100),
    "min_trunk": Range(0, 100),
}


@dataclass
class CleanConfig:
    """Thresholds. A picture that fails one is dropped, for that reason."""

    min_height: int = 64  # "small": pictures of fewer pixels
    min_width: int = 24
    min_sharpness: float = 0.03  # "blurred": see `sharpness`; 0 keeps all
    confidence: float = 0.3  # a joint below it is not there
    min_joints: int = 8  # "few joints": of the 13 below the head
    max_bone: float = 1.8  # "limbs": a bone this many times its usual length; foreshortened ones are fine
    min_figure: float = 0.4  # "collapsed": the figure's height over the picture's
    min_trunk: float = 0.1  # "collapsed": shoulders to hips over the figure's height

    def __post_init__(self) -> None:
        check_ranges(self, RANGES, "clean")


def sharpness(picture: Image.Image) -> float:
    """Variance of the Laplacian over the variance of the grey picture, at 128 rows whatever its size; no unit.

    Dividing makes dark, pale and infrared pictures comparable; a picture of one colour has 0.
    """
    grey = np.asarray(picture.convert("L"), dtype=np.float32)
    scale = SHARPNESS_ROWS / grey.shape[0]
    size = max(1, round(grey.shape[1] * scale)), SHARPNESS_ROWS
    grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    return float(cv2.Laplacian(grey, cv2.CV_32F).var() / max(float(grey.var()), 1.0))


def judge(record: PoseRecord, config: CleanConfig) -> list[str]:
    """Why a picture is not fit to learn from; empty for one that is."""
    reasons = []
    if record.height < config.min_height or record.width < config.min_width:
        reasons.append("small")
    if record.sharpness < config.min_sharpness:
        reasons.append("blurred")
    points = sure_joints(record.keypoints, config.confidence)
    if np.count_nonzero(points[BODY, 2]) < config.min_joints:
        return [*reasons, "few joints"]
    return reasons + _judge_skeleton(points, record.height, config)


def sure_joints(keypoints: np.ndarray, confidence: float) -> np.ndarray:
    """(18, 3) with 0, 0, 0 for the joints below `confidence`."""
    return np.where(keypoints[:, 2:] >= confidence, keypoints, 0.0)


def _judge_skeleton(points: np.ndarray, picture_height: int, config: CleanConfig) -> list[str]:
    """points: (18, 3), of which those of confidence 0 are not there."""
    height, reasons = float(figure_height(points)), []
    shoulders, hips = _middle(points, "shoulder"), _middle(points, "hip")
    head = points[[KEYPOINT_ROW["neck"], KEYPOINT_ROW["nose"]]]
    head = head[head[:, 2] > 0, 1]
    if len(head) and hips is not None and head.max() > hips[1]:
        reasons.append("head below hips")
    trunk = None if shoulders is None or hips is None else float(np.linalg.norm(shoulders - hips))
    # A figure whose legs are hidden is taller than its joints.
    body = max(height, trunk / TRUNK if trunk else 0.0)
    if body < config.min_figure * picture_height or (trunk is not None and trunk < config.min_trunk * height):
        reasons.append("collapsed")
    for (upper, lower), usual in BONES.items():
        lengths = [_length(points, f"{side}_{upper}", f"{side}_{lower}") for side in ("left", "right")]
        if max(lengths) > config.max_bone * usual * body:
            reasons.append("limbs")
            break
    return reasons


def _middle(points: np.ndarray, joint: str) -> np.ndarray | None:
    pair = points[[KEYPOINT_ROW[f"left_{joint}"], KEYPOINT_ROW[f"right_{joint}"]]]
    pair = pair[pair[:, 2] > 0]
    return pair[:, :2].mean(axis=0) if len(pair) else None


def _length(points: np.ndarray, start: str, end: str) -> float:
    """0 when one of the two is not there."""
    a, b = points[KEYPOINT_ROW[start]], points[KEYPOINT_ROW[end]]
    return float(np.linalg.norm(a[:2] - b[:2])) if a[2] > 0 and b[2] > 0 else 0.0


def clean(records: Sequence[PoseRecord], root: Path, out: Path, config: CleanConfig) -> dict[str, int]:
    """Judge all pictures of the data set at `root`; write the list, the counts and examples to `out`.

    kept.jsonl: a line {"path", "kept", "reasons"} for each picture. cleaning.json: the counts that are returned,
    "pictures", "kept" and of each reason (a picture may have several). dropped.png: a row of examples for each reason.
    """
    reasons = [judge(record, config) for record in records]
    lines = [
        json.dumps({"path": record.path, "kept": not why, "reasons": why}) + "\n"
        for record, why in zip(records, reasons, strict=True)
    ]
    write_text(out / "kept.jsonl", "".join(lines))
    counts = {"pictures": len(records), "kept": sum(not why for why in reasons)}
    counts |= dict(sorted(Counter(reason for why in reasons for reason in why).items()))
    write_text(out / "cleaning.json", json.dumps(counts, indent=1) + "\n")
    sheet = out / "dropped.png"
    sheet.unlink(missing_ok=True)
    if rows := _examples(records, reasons, root, config):
        write_picture(sheet, make_grid(rows, CELL, gap=2))
    return counts


def _examples(
    records: Sequence[PoseRecord], reasons: Sequence[Sequence[str]], root: Path, config: CleanConfig
) -> list[list[Image.Image]]:
    """A row for each reason, in alphabetic order: pictures with their skeletons, evenly drawn from all."""
    rows = []
    for reason in sorted({reason for why in reasons for reason in why}):
        dropped = [record for record, why in zip(records, reasons, strict=True) if reason in why]
        shown = dropped[:: -(-len(dropped) // EXAMPLES)]
        cells = [overlay(read_picture(root / record.path), record, config.confidence) for record in shown]
        blanks = [Image.new("RGB", CELL, "white")] * (EXAMPLES - len(cells))
        rows.append([_label(f"{reason.replace(' ', chr(10))}\n\n{len(dropped)}"), *cells, *blanks])
    return rows


def _label(text: str) -> Image.Image:
    cell = Image.new("RGB", CELL, "white")
    ImageDraw.Draw(cell).text((2, 40), text, fill="black")
    return cell


def overlay(picture: Image.Image, record: PoseRecord, confidence: float) -> Image.Image:
    """The picture in a cell of the contact sheet with its skeleton over it."""
    scale = [CELL[0] / record.width, CELL[1] / record.height]
    points = sure_joints(record.keypoints, confidence)
    points[:, :2] = (points[:, :2] + 0.5) * scale - 0.5
    skeleton = draw_skeleton(points, CELL[::-1])
    below = np.asarray(picture.resize(CELL, Image.Resampling.BICUBIC))
    return Image.fromarray(np.where(skeleton.any(axis=2, keepdims=True), skeleton, below))
