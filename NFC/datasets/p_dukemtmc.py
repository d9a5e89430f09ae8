"""P-DukeMTMC-reID: `<root>/{train,test}/{occluded,whole}_body_images/<pid>/*.jpg`."""

from pathlib import Path

from .base import Dataset
from .occluded_whole import occluded_whole_folders, read_occluded_whole

PUBLISHED = {"train": (12_927, 665), "query": (2_163, 634), "gallery": (9_053, 634)}


def read_p_dukemtmc(root: Path) -> Dataset:
    """Read the four folders; the training split is the occluded and the whole pictures together.

    `<root>/train` may be missing: evaluation does without.
    """
    train, test = root / "train", root / "test"
    query, gallery = read_occluded_whole(test, "p_dukemtmc")
    pictures, published, places = (), PUBLISHED, [test]
    if train.is_dir():
        occluded, whole = read_occluded_whole(train, "p_dukemtmc")
        pictures, places = [*occluded, *whole], [train, test]
    else:
        published = {split: PUBLISHED[split] for split in ("query", "gallery")}
    folders = occluded_whole_folders(*places)
    return Dataset("p_dukemtmc", root, pictures, query, gallery, published=published, cameras=False, folders=folders)
