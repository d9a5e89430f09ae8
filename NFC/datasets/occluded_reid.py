"""Occluded-REID: `<root>/{occluded,whole}_body_images/001/001_01.tif`. There is no training split."""

from pathlib import Path

from pose2id.errors import UserError

from .base import Dataset
from .disk import parse_pid
from .occluded_whole import occluded_whole_folders, read_occluded_whole

PUBLISHED = {"query": (1_000, 200), "gallery": (1_000, 200)}


def read_occluded_reid(root: Path) -> Dataset:
    """Read both folders; `UserError` if one is missing, or a name does not start with the pid of its folder."""
    query, gallery = read_occluded_whole(root, "occluded_reid")
    for record in (*query, *gallery):
        start = record.path.name.split("_")[0]
        if parse_pid(start, f"occluded_reid: the name of {record.path}") != record.pid:
            raise UserError(f"occluded_reid: {record.path} has pid {start} in its name, another than its folder's")
    folders = occluded_whole_folders(root)
    return Dataset("occluded_reid", root, (), query, gallery, published=PUBLISHED, folders=folders, cameras=False)
