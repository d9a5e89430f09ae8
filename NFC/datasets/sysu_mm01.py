"""SYSU-MM01: infrared queries against visible galleries drawn in ten trials.

`cam1..cam6/<4-digit pid>/0001.jpg`; cameras 3 and 6 are infrared, 1 to 3 indoors. `exp/{train,val,test}_id.txt` hold
one line of comma-separated pids each. Queries are all infrared pictures of the test people, in both modes. A gallery
holds one or ten pictures of each test person for each visible camera that saw them. Cameras 2 and 3 are the same
place: for a query of camera 3 no picture of camera 2 exists, whoever it shows. CMC counts each identity once.
"""

import random
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from torch import Tensor

from pose2id.errors import UserError
from pose2id.reading.files import require_file
from pose2id.reading.mat_files import read_mat

from .base import Dataset, Record, Trial
from .disk import list_people, list_pictures, parse_pid, read_text

TRIALS = range(10)
CAMERAS = (1, 2, 3, 4, 5, 6)
INFRARED = (3, 6)
VISIBLE = {"all": (1, 2, 4, 5), "indoor": (1, 2)}
OPTIONS = {"mode": tuple(VISIBLE), "shots": (1, 10), "draw": ("random", "official")}
PUBLISHED_GALLERY = {"all": (301, 96), "indoor": (112, 56)}  # single-shot
PUBLISHED = {"train": (34_167, 395), "query": (3_803, 96)}

Pictures = dict[tuple[int, int], list[Record]]  # (pid, camera), ascending -> pictures by name


def same_place(q_pids: Tensor, q_camids: Tensor, g_pids: Tensor, g_camids: Tensor) -> Tensor:
    """(B,), (B,), (G,), (G,) -> bool (B, G): queries of camera 3 do not meet camera 2. Camids count from 0."""
    return (q_camids == 2)[:, None] & (g_camids == 1)


def read_sysu_mm01(root: Path, mode: str, shots: int, draw: str) -> Dataset:
    """Read all-search or indoor-search with 1 or 10 shots; `gallery` is the union of the trials' galleries.

    draw="random" is the widely used one: `random.seed(trial)` for trials 0 to 9, then one `random.choice` for each
    person, ascending, and each camera (ten-shot: `random.sample`, or all pictures where there are fewer).
    draw="official" reads the authors' `exp/rand_perm_cam.mat`.
    `UserError` for missing folders or files, pids that are no numbers, and permutations of other pictures.
    """
    test = _read_ids(root, "test")
    candidates = _read_pictures(root, VISIBLE[mode], test)
    galleries = _draw_official(root, candidates, shots) if draw == "official" else _draw_random(candidates, shots)
    query = _flatten(_read_pictures(root, INFRARED, test))
    gallery = sorted({record for drawn in galleries for record in drawn}, key=lambda record: record.path)
    place = {record: number for number, record in enumerate(gallery)}
    train = _read_train(root)
    pictures, people = PUBLISHED_GALLERY[mode]
    published = PUBLISHED if train else {"query": PUBLISHED["query"]}
    return Dataset(
        name="sysu_mm01",
        root=root,
        train=train,
        query=query,
        gallery=gallery,
        trials=[Trial(range(len(query)), sorted(place[record] for record in drawn)) for drawn in galleries],
        exclude=same_place,
        cmc="identities",
        infrared=frozenset(camera - 1 for camera in INFRARED),
        folders={root / f"cam{camera}": 1 for camera in CAMERAS if (root / f"cam{camera}").is_dir()},
        published=published | {"gallery": (pictures * shots, people)},
    )


def _read_train(root: Path) -> list[Record]:
    """The people of both lists; none where there is neither: evaluation does without."""
    if not any((root / "exp" / f"{split}_id.txt").exists() for split in ("train", "val")):
        return []
    return _flatten(_read_pictures(root, CAMERAS, _read_ids(root, "train") | _read_ids(root, "val")))


def _read_ids(root: Path, split: str) -> set[int]:
    path = root / "exp" / f"{split}_id.txt"
    labels = read_text(path, "sysu_mm01").replace("\n", ",").split(",")
    return {parse_pid(label.strip(), f"sysu_mm01: {path}") for label in labels if label.strip()}


def _read_pictures(root: Path, cameras: Iterable[int], pids: set[int]) -> Pictures:
    found: Pictures = {}
    for camera in cameras:
        folder = root / f"cam{camera}"
        for pid, person in list_people(folder, "sysu_mm01").items():
            pictures = list_pictures(person, "sysu_mm01") if pid in pids else []
            if pictures:
                found[pid, camera] = [Record(path, pid, camera - 1, folder) for path in pictures]
    return dict(sorted(found.items()))


def _flatten(pictures: Pictures) -> list[Record]:
    return sorted((record for records in pictures.values() for record in records), key=lambda record: record.path)


def _draw_random(pictures: Pictures, shots: int) -> list[list[Record]]:
    galleries = []
    for trial in TRIALS:
        rng = random.Random(trial)
        drawn = []
        for records in pictures.values():
            drawn += [rng.choice(records)] if shots == 1 else rng.sample(records, min(shots, len(records)))
        galleries.append(drawn)
    return galleries


def _draw_official(root: Path, pictures: Pictures, shots: int) -> list[list[Record]]:
    """Trial t takes the first pictures of row t of the cell {camera}{pid}, which counts them from 1."""
    cells = _read_permutations(root / "exp" / "rand_perm_cam.mat")
    galleries: list[list[Record]] = [[] for _ in TRIALS]
    for (pid, camera), records in pictures.items():
        order = cells.get((camera, pid), np.empty(0))
        if order.shape != (len(TRIALS), len(records)) or (np.sort(order) != np.arange(1, len(records) + 1)).any():
            raise UserError(
                f"sysu_mm01: rand_perm_cam.mat does not permute the {len(records)} pictures of pid {pid} in camera "
                f"{camera}; use the authors' file with the whole data set, or draw=random"
            )
        for gallery, row in zip(galleries, order, strict=True):
            gallery += [records[int(number) - 1] for number in row[:shots]]
    return galleries


def _read_permutations(path: Path) -> dict[tuple[int, int], np.ndarray]:
    """(camera, pid) -> (10, n) numbers of pictures, from 1."""
    require_file(path, "sysu_mm01: file", "put the authors' file there, or use draw=random")
    try:
        cells = read_mat(path)
    except UserError as error:
        raise UserError(
            f"sysu_mm01: {path} is not the authors' rand_perm_cam.mat ({error}); use draw=random"
        ) from error
    orders = {}
    for name, order in cells.items():
        variable, *places = name.split("/")
        if variable == "rand_perm_cam" and len(places) == 2 and order is not None and order.dtype.kind in "fiu":
            camera, pid = (int(place) + 1 for place in places)
            orders[camera, pid] = order
    if not orders:
        raise UserError(f"sysu_mm01: {path} is not the authors' rand_perm_cam.mat (no such cells); use draw=random")
    return orders
