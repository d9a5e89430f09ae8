"""Plain readers of every benchmark: loops over the files on disk, lists and sorting."""

import csv
import random
from dataclasses import dataclass
from pathlib import Path

from scipy.io import loadmat


@dataclass(frozen=True)
class Picture:
    """What a naive reader knows: path relative to the root, whom it shows and which camera, as text."""

    path: str
    pid: str
    camera: str


Trials = list[tuple[list[Picture], list[Picture]]]  # query and gallery


# Naive readers


def listdir(*parts) -> list[str]:
    return sorted(path.name for path in Path(*parts).iterdir())


def naive_market(root: Path, parent: str = "") -> Trials:
    splits = []
    for folder in (f"{parent}query", f"{parent}bounding_box_test"):
        pictures = []
        for name in listdir(root, folder):
            if not name.startswith("-1"):
                pid, camera = name.split("_")[:2]
                pictures.append(Picture(f"{folder}/{name}", pid, camera[1]))
        splits.append(pictures)
    return [tuple(splits)]


def naive_msmt17(root: Path, folder: str) -> Trials:
    splits = []
    for split in ("query", "gallery"):
        lines = (root / f"list_{split}.txt").read_text().split("\n")
        fields = [line.split(" ") for line in lines if line]
        splits.append([Picture(f"{folder}/{name}", pid, name.split("/")[1].split("_")[2]) for name, pid in fields])
    return [tuple(splits)]


def naive_regdb(root: Path, direction: str, numbers) -> Trials:
    trials = []
    for number in numbers:
        splits = []
        for modality in direction.split("_to_"):
            lines = (root / "idx" / f"test_{modality}_{number}.txt").read_text().split("\n")
            splits.append([Picture(line.split(" ")[0], line.split(" ")[1], modality) for line in lines if line])
        trials.append(tuple(splits))
    return trials


def sysu_pictures(root: Path, camera: int, pid: str) -> list[Picture]:
    folder = f"cam{camera}/{pid}"
    if not (root / folder).is_dir():
        return []
    return [Picture(f"{folder}/{name}", pid, str(camera)) for name in listdir(root, folder)]


def naive_sysu(root: Path, mode: str, shots: int, draw: str) -> Trials:
    pids = sorted(f"{int(pid):04d}" for pid in (root / "exp" / "test_id.txt").read_text().strip().split(","))
    cameras = [1, 2, 4, 5] if mode == "all" else [1, 2]
    query = [picture for pid in pids for camera in (3, 6) for picture in sysu_pictures(root, camera, pid)]
    orders = loadmat(root / "exp" / "rand_perm_cam.mat")["rand_perm_cam"]
    trials = []
    for trial in range(10):
        random.seed(trial)
        gallery = []
        for pid in pids:
            for camera in cameras:
                files = sysu_pictures(root, camera, pid)
                if files and draw == "official":
                    order = orders[camera - 1][0][int(pid) - 1][0]
                    gallery += [files[int(order[trial][shot]) - 1] for shot in range(shots)]
                elif files:
                    gallery += [random.choice(files)] if shots == 1 else random.sample(files, shots)
        trials.append((query, gallery))
    return trials


def naive_occluded(root: Path, parent: str = "") -> Trials:
    return [
        tuple(
            [
                Picture(f"{parent}{folder}/{pid}/{name}", pid, folder)
                for pid in listdir(root, parent, folder)
                for name in listdir(root, parent, folder, pid)
            ]
            for folder in ("occluded_body_images", "whole_body_images")
        )
    ]


def drawn_half(pids: set[str], split: int) -> set[str]:
    """The first half of the people, shuffled by one random number for each, in the order of pids."""
    rng = random.Random(split)
    numbers = {pid: rng.random() for pid in sorted(pids, key=int)}
    people = sorted(pids, key=numbers.get)
    return set(people[: -(-len(people) // 2)])


def naive_p_ethz(root: Path, splits) -> Trials:
    ((query, gallery),) = naive_occluded(root)
    halves = [drawn_half({picture.pid for picture in query}, split) for split in splits]
    return [tuple([p for p in side if p.pid in half] for side in (query, gallery)) for half in halves]


def naive_viper(root: Path, splits) -> Trials:
    sides = [
        [Picture(f"{camera}/{name}", name[:3], camera) for name in listdir(root, camera)]
        for camera in ("cam_a", "cam_b")
    ]
    trials = []
    for split in splits:
        half = drawn_half({picture.pid for picture in sides[0]}, split)
        first, second = ([picture for picture in side if picture.pid in half] for side in sides)
        trials += [(first, second), (second, first)]
    return trials


def naive_partial(root: Path) -> Trials:
    return [
        tuple(
            [Picture(f"{folder}/{name}", name[:3], folder) for name in listdir(root, folder)]
            for folder in ("partial_body_images", "whole_body_images")
        )
    ]


def naive_partial_single(root: Path, shots: int) -> Trials:
    ((query, gallery),) = naive_partial(root)
    return [(query[first::shots], gallery[second::shots]) for first in range(shots) for second in range(shots)]


def naive_table(root: Path, cameras: bool) -> Trials:
    with (root / "dataset.csv").open() as file:
        lines = list(csv.DictReader(file))
    return [
        tuple(
            [
                Picture(row["path"], row["pid"], row["camid"] if cameras else split)
                for row in lines
                if row["split"] == split
            ]
            for split in ("query", "gallery")
        )
    ]


# Naive scores
