"""CUHK03 by its new protocol: two cameras, boxes drawn by hand (labeled) and found (detected)."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy.io import savemat

from pose2id.files import replacing

from ..world import View
from .job import TEST_PIDS, TRAIN_PIDS, Job

FORMS = {"labeled": 0.0, "detected": 0.06}  # how far off a box may be, as a share of its size
FOLDERS = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}
VIEWS, PAIRS = 2, 5


def cuhk03(
    root: Path, seed: int, train_pids: int, test_pids: int, shots: int = 4, released: bool = False
) -> Iterator[Job]:
    """Everybody is seen by both cameras, `shots` times by each; one more picture of a test person is a query.

    Folders like Market1501's, `{labeled,detected}/query/0001_c1_1.png`; with `released` those of the release with the
    pictures taken out, `images_{labeled,detected}/1_001_1_01.png`, and its lists.
    """
    rng = np.random.default_rng([seed, 11])
    if not released:
        for form in FORMS:
            for folder in FOLDERS.values():
                (root / form / folder).mkdir(parents=True, exist_ok=True)
    lists: dict[str, list[tuple[str, str, int]]] = {form: [] for form in FORMS}
    for pid in range(1, train_pids + test_pids + 1):
        trained = pid <= train_pids
        person = TRAIN_PIDS + pid if trained else TEST_PIDS + pid
        for view in range(1, VIEWS + 1):
            for index in range(shots + (not trained)):
                split = "train" if trained else "gallery" if index else "query"
                for form, share in FORMS.items():
                    number = index + 1 + (view - 1) * (shots + 1)
                    name = f"{pid % PAIRS + 1}_{pid:03d}_{view}_{number:02d}.png"
                    lists[form].append((name, split, pid))
                    place = Path(f"images_{form}", name)
                    if not released:
                        place = Path(form, FOLDERS[split], f"{pid:04d}_c{view}_{number}.png")
                    shift = (float(rng.uniform(-share, share)), float(rng.uniform(-share, share)))
                    yield Job(root / place, View(person, view, index), shift)
    if released:
        for form, entries in lists.items():
            _write_lists(root / f"cuhk03_new_protocol_config_{form}.mat", entries)


def _write_lists(path: Path, entries: list[tuple[str, str, int]]) -> None:
    """`filelist` and `labels`, and the places, from 1, of each split."""
    names, splits, pids = zip(*entries, strict=True)
    filelist = np.empty((len(names), 1), object)
    filelist[:, 0] = names
    places = {f"{split}_idx": np.flatnonzero(np.array(splits) == split)[:, None] + 1.0 for split in FOLDERS}
    with replacing(path) as partial:
        savemat(partial, {"filelist": filelist, "labels": np.array(pids, float)[:, None], **places})
