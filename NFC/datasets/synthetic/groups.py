"""Training material: groups of pictures of one person at one place, in several poses.

A group is one view re-shot in `POSES` poses: any of its pictures can be the reference of the others.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from pose2id.errors import UserError
from pose2id.files import create_array, write_text
from pose2id.processes.locks import locked
from pose2id.processes.workers import worker_pool
from pose2id.reading.numpy_files import map_npy

from .occluders import KINDS
from .pose import draw_pose
from .world import HEIGHT, WIDTH, View, World

POSES = 4
VIEWS_PER_PERSON = 3
NUM_CAMERAS = 60
CHUNK = 50
OCCLUDED = 0.15  # share of groups where something hides part of the person in picture 0


@dataclass(frozen=True)
class Groups:
    """Read-only arrays of G groups, mapped from disk.

    pictures (G, 4, 128, 64, 3) uint8 RGB; keypoints (G, 4, 18, 3) float32; labels (G, 4) int64: pid, camid,
    infrared (0 or 1) and occluded (1: something hides part of the person in picture 0); parsing (G, 4, 128, 64) uint8,
    the body part at every pixel (see `Shot`), None where the folder is older than these.
    """

    pictures: np.ndarray
    keypoints: np.ndarray
    labels: np.ndarray
    parsing: np.ndarray | None = None

    @property
    def classes(self) -> np.ndarray:
        """(G,) int64: a person in visible light and the same person in infrared are two classes."""
        return 2 * self.labels[:, 0] + self.labels[:, 2]

    def draw(self, count: int, occluded: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Groups and members (count,) int64 of random pictures, of which a share `occluded` has something in front."""
        groups, members = rng.integers(self.pictures.shape[:2], size=(count, 2)).T
        hidden = np.flatnonzero(self.labels[:, 3])
        if len(hidden):
            chosen = rng.random(count) < occluded
            groups[chosen], members[chosen] = rng.choice(hidden, chosen.sum()), 0
        return groups, members


def shoot_group(world: World, index: int, share: float = OCCLUDED) -> Groups:
    """Group `index`, without the axis G; picture 0 is partly hidden in a `share` of all groups."""
    rng = np.random.default_rng([world.seed, 100, index])
    infrared, occluded = rng.random() < 0.25, rng.random() < share
    pid, camid = index // VIEWS_PER_PERSON, int(rng.integers(NUM_CAMERAS))
    shots = []
    for number in range(POSES):
        occluder = KINDS[int(rng.integers(len(KINDS)))] if occluded and number == 0 else ""
        view = View(pid, camid, index % VIEWS_PER_PERSON, bool(infrared), occluder)
        shots.append(world.shoot(view, pose=draw_pose(rng), centred=number % 2 == 1))
    labels = np.array([pid, camid, infrared, occluded], np.int64)
    pictures, keypoints, parsing = zip(*((s.picture, s.keypoints, s.parsing) for s in shots), strict=True)
    return Groups(np.stack(pictures), np.stack(keypoints), labels, np.stack(parsing))


def joined(groups: Iterable[Groups]) -> Groups:
    """Groups of `shoot_group`, with the axis G."""
    columns = zip(*(vars(group).values() for group in groups), strict=True)
    return Groups(*map(np.stack, columns))


def _shoot_chunk(seed: int, share: float, first: int, last: int) -> tuple[int, Groups]:
    world = World(seed)
    return first, joined(shoot_group(world, index, share) for index in range(first, last))


def write_groups(
    root: Path, seed: int, num_groups: int, workers: int | None = None, occluded: float = OCCLUDED
) -> None:
    """Render groups into `root`, a share `occluded` of them with something in front of the person in picture 0.

    The file `groups.json` is written last and marks them whole.

    Raises `UserError` for less than one group, a folder that another run writes to, and a disk without room for all.
    """
    if num_groups < 1:
        raise UserError(f"{num_groups} groups make no training material: ask for at least 1")
    with locked(root):
        (root / "groups.json").unlink(missing_ok=True)
        members = num_groups, POSES
        written = Groups(
            create_array(root / "pictures.npy", np.uint8, (*members, HEIGHT, WIDTH, 3)),
            create_array(root / "keypoints.npy", np.float32, (*members, 18, 3)),
            create_array(root / "labels.npy", np.int64, (num_groups, 4)),
            create_array(root / "parsing.npy", np.uint8, (*members, HEIGHT, WIDTH)),
        )
        starts = range(0, num_groups, CHUNK)
        ends = [min(start + CHUNK, num_groups) for start in starts]
        with worker_pool(workers) as pool, tqdm(total=num_groups, unit="group") as progress:
            for first, shot in pool.map(partial(_shoot_chunk, seed, occluded), starts, ends):
                for name, array in vars(written).items():
                    array[first : first + len(shot.labels)] = getattr(shot, name)
                progress.update(len(shot.labels))
        for array in vars(written).values():
            array.flush()
        write_text(root / "groups.json", json.dumps({"seed": seed, "groups": num_groups, "occluded": occluded}))


def read_groups(root: Path) -> Groups:
    """Map the groups of `write_groups`; an unfinished or missing folder raises `UserError`."""
    if not (root / "groups.json").is_file():
        raise UserError(f"{root} holds no finished groups; write them with pose2id synthetic --layout groups")
    pictures, keypoints, labels = (map_npy(root / f"{name}.npy") for name in ("pictures", "keypoints", "labels"))
    parsing = map_npy(root / "parsing.npy") if (root / "parsing.npy").is_file() else None
    count, members = (*pictures.shape, 0, 0)[:2]
    fit = keypoints.shape == (count, members, 18, 3) and labels.shape == (count, 4)
    if pictures.ndim != 5 or not fit or (parsing is not None and parsing.shape != pictures.shape[:4]):
        raise UserError(
            f"{root} holds groups that do not fit together; write them with pose2id synthetic --layout groups"
        )
    return Groups(pictures, keypoints, labels, parsing)
