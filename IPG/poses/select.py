"""Representative poses: that of each identity (Eq. 7 and 8), and a few that stand for all of them."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from NFC.datasets import build_dataset
from NFC.features.extraction import extract_features
from NFC.features.of_dataset import told_camids
from NFC.networks import build_extractor
from pose2id.devices import pick_device
from pose2id.errors import UserError
from pose2id.presets import load_preset
from pose2id.settings.ranges import BATCH, PIXELS, POSES, SHARE, check_ranges

from ..splits import split_records
from .clean import BODY, sure_joints
from .error import figure_height
from .prepare import KEYPOINTS
from .records import PoseRecord, read_kept, read_records
from .skeleton import KEYPOINT_NAMES, draw_skeleton, to_pixels, write_keypoints, write_pose_picture

MISSING = 0.3  # distance, in figure heights, of a joint that one of two poses has and the other has not
TRUNK = [KEYPOINT_NAMES.index(name) for name in ("right_shoulder", "left_shoulder", "right_hip", "left_hip")]


@dataclass
class SelectConfig:
    """Everything the choice depends on."""

    preset: str = "sd15"
    dataset: str = "market1501"
    dataset_dir: str = "data/Market-1501"
    dataset_options: dict[str, str] = field(default_factory=dict)
    split: str = "train"  # or query, gallery
    pose_dir: str | None = None  # what prepare_poses.py wrote: <dataset_dir>_poses
    extractor: str = "transreid"
    weights: str | None = None  # of the extractor: the preset's own
    count: int = 8
    confidence: float = 0.3  # a representative pose has all joints below the head at least this sure
    height: int = 128  # of pose pictures
    width: int = 64
    batch_size: int = 64
    device: str | None = None  # cuda where there is one
    out_dir: str = "outputs/poses"

    def __post_init__(self) -> None:
        sizes = {"height": PIXELS, "width": PIXELS, "batch_size": BATCH}
        check_ranges(self, {**sizes, "count": POSES, "confidence": SHARE})


def select_poses(config: SelectConfig) -> list[PoseRecord]:
    """Choose `count` poses for a folder like `standard_poses/`, that of most identities first.

    Eq. 7-8 on the pictures that the cleaning kept give a pose for each identity; k-medoids give those that stand for
    all of them. Raises `UserError` where poses are missing, or too few of them are whole.
    """
    dataset = build_dataset(config.dataset, config.dataset_dir, **config.dataset_options)
    source = Path(config.dataset_dir)
    folder = Path(config.pose_dir) if config.pose_dir else source.with_name(f"{source.resolve().name}_poses")
    kept = read_kept(folder / "kept.jsonl")
    poses = {record.path: record for record in read_records(folder / KEYPOINTS) if record.path in kept}
    pictures = [
        (record, poses[name])
        for record in split_records(dataset, [config.split])
        if record.pid not in dataset.distractors and (name := record.path.relative_to(dataset.root).as_posix()) in poses
    ]
    whole = torch.tensor([bool((pose.keypoints[BODY, 2] >= config.confidence).all()) for _, pose in pictures])
    pids = torch.tensor([record.pid for record, _ in pictures])
    found = len(pids[whole].unique()) if pictures else 0
    if found < config.count:
        raise UserError(
            f"{config.split} of {dataset.root}: {found} identities have a whole pose in {folder}, {config.count} poses "
            "are wanted; prepare its poses with `pose2id poses prepare`, or lower count or confidence"
        )
    device = pick_device(config.device)
    extractor = build_extractor(config.extractor, config.weights, config.preset, device)
    records = [record for record, _ in pictures]
    paths, camids = [record.path for record in records], told_camids(dataset, records)
    feats = extract_features(extractor, paths, camids, batch_size=config.batch_size, device=device)
    representative = [pictures[row][1] for row in representative_pictures(feats, pids, whole).tolist()]
    normalised = normalise_poses([sure_joints(pose.keypoints, config.confidence) for pose in representative])
    return [representative[row] for row in k_medoids(pose_distances(normalised), config.count)]


def write_poses(poses: list[PoseRecord], config: SelectConfig) -> None:
    """Write pose1.png, pose2.png, ... and keypoints.json to `out_dir`, in the convention of `standard_poses/`."""
    out, size = Path(config.out_dir), (config.height, config.width)
    thickness = load_preset(config.preset).skeleton
    scaled = {}
    for number, pose in enumerate(poses, start=1):
        points = sure_joints(pose.keypoints, config.confidence)
        points[:, :2] = np.where(points[:, 2:] > 0, (points[:, :2] + 0.5) / [pose.width, pose.height], 0)
        scaled[f"pose{number}"] = points
        write_pose_picture(out / f"pose{number}.png", draw_skeleton(to_pixels(points, size), size, thickness))
    write_keypoints(out / "keypoints.json", scaled)


def representative_pictures(feats: Tensor, pids: Tensor, candidates: Tensor) -> Tensor:
    """Of each identity the picture whose feature is nearest to the mean feature (Pose2ID, arXiv 2503.00938, Eq. 7-8).

    feats: (N, d). pids: (N,) int64. candidates: (N,) bool, the pictures that may be chosen; all count in the mean.
    Returns the pictures' indices, int64, one for each identity that has a candidate, in the order of pids.
    """
    identities, rows = pids.unique(return_inverse=True)
    sums = feats.new_zeros(len(identities), feats.shape[1]).index_add_(0, rows, feats)
    means = sums / rows.bincount().to(feats)[:, None]  # Eq. 7
    distances = (feats - means[rows]).square().sum(1)
    order = distances.argsort(stable=True)
    order = order[candidates[order]]
    order = order[rows[order].argsort(stable=True)]  # by identity, in each nearest first
    return order[rows[order].diff(prepend=rows.new_tensor([-1])) != 0]  # Eq. 8


def normalise_poses(keypoints: ArrayLike) -> np.ndarray:
    """(M, 18, 3) in pixels -> the same with x and y in figure heights from the middle of the trunk.

    Poses need both shoulders and both hips.
    """
    points = np.array(keypoints, dtype=np.float64)
    centre = points[:, TRUNK, :2].mean(axis=1, keepdims=True)
    points[..., :2] = (points[..., :2] - centre) / figure_height(points)[:, None, None]
    return points


def pose_distances(keypoints: ArrayLike) -> np.ndarray:
    """(M, 18, 3) normalised poses -> (M, M): mean distance of their joints, in figure heights.

    A joint that only one of the two has (the nose of somebody seen from behind) counts as `MISSING`, one that neither
    has as 0.
    """
    points = np.asarray(keypoints, dtype=np.float64)
    total = np.zeros((len(points), len(points)))
    for joint in range(points.shape[1]):
        place, present = points[:, joint, :2], points[:, joint, 2] > 0
        distance = np.linalg.norm(place[:, None] - place[None], axis=2)
        both, one = present[:, None] & present[None], present[:, None] ^ present[None]
        total += np.where(both, distance, np.where(one, MISSING, 0))
    return total / points.shape[1]


def k_medoids(distances: ArrayLike, count: int) -> np.ndarray:
    """`count` of M items that minimise the sum of the distances of all items to the nearest of them.

    distances: (M, M), symmetric. Starts with the most central item and the farthest from those taken, then moves each
    cluster's medoid to its best member until nothing changes. Returns indices, that of the largest cluster first.
    Raises `UserError` for fewer than `count` items.
    """
    distances = np.asarray(distances, dtype=np.float64)
    if not 1 <= count <= len(distances):
        raise UserError(f"cannot choose {count} of {len(distances)} poses; ask for 1 to {len(distances)}")
    medoids = [int(distances.sum(axis=1).argmin())]
    while len(medoids) < count:
        nearest = distances[:, medoids].min(axis=1)
        nearest[medoids] = -1
        medoids.append(int(nearest.argmax()))
    while True:
        cluster = _clusters(distances, medoids)
        moved = []
        for number in range(count):
            members = np.flatnonzero(cluster == number)
            moved.append(int(members[distances[np.ix_(members, members)].sum(axis=1).argmin()]))
        if moved == medoids:
            break
        medoids = moved
    sizes = np.bincount(_clusters(distances, medoids), minlength=count)
    return np.array(medoids)[np.argsort(-sizes, kind="stable")]


def _clusters(distances: np.ndarray, medoids: list[int]) -> np.ndarray:
    """Number of the nearest medoid for each item; a medoid belongs to itself, also where others lie upon it."""
    cluster = distances[:, medoids].argmin(axis=1)
    cluster[medoids] = np.arange(len(medoids))
    return cluster
