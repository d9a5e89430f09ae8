"""P-DukeMTMC-reID: `<root>/{train,test}/{occluded,whole}_body_images/<pid>/*.jpg`."""

from pathlib import Path

from .base import Dataset
from .occluded_whole import read_occluded_whole

PUBLISHED = {"train": (12_927, 665), "query": (2_163, 634), "gallery": (9_053, 634)}


def read_p_dukemtmc(root: Path) -> Dataset:
    """Read the four folders; the training split is the occluded and the whole pictures together."""
    occluded, whole = read_occluded_whole(root / "train", "p_dukemtmc")
    query, gallery = read_occluded_whole(root / "test", "p_dukemtmc")
    return Dataset("p_dukemtmc", root, [*occluded, *whole], query, gallery, published=PUBLISHED, cameras=False)
