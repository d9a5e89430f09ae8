"""Occluded-REID: `<root>/{occluded,whole}_body_images/001/001_01.tif`. There is no training split."""

from pathlib import Path

from .base import Dataset
from .occluded_whole import check_names, occluded_whole_folders, read_occluded_whole

PUBLISHED = {"query": (1_000, 200), "gallery": (1_000, 200)}


def read_occluded_reid(root: Path) -> Dataset:
    """Read both folders; `UserError` if one is missing, or a name does not start with the pid of its folder."""
    query, gallery = read_occluded_whole(root, "occluded_reid")
    check_names([*query, *gallery], "occluded_reid")
    folders = occluded_whole_folders(root)
    return Dataset("occluded_reid", root, (), query, gallery, published=PUBLISHED, folders=folders, cameras=False)
