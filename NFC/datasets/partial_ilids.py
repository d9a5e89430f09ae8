"""Partial-iLIDS: a partial and a whole picture of each of 119 people, `001.jpg` in two folders. No training split.

The folders are `partial_body_images` (or `occluded_body_images`) and `whole_body_images`, `Probe` and `Gallery`, or
`query` and `gallery`, as those who pass them on have named them.
"""

from pathlib import Path

from pose2id.errors import UserError

from .base import Dataset
from .partial_whole import WHOLE, read_flat

FOLDERS = (("partial_body_images", WHOLE), ("occluded_body_images", WHOLE), ("Probe", "Gallery"), ("query", "gallery"))
PUBLISHED = {"query": (119, 119), "gallery": (119, 119)}


def read_partial_ilids(root: Path) -> Dataset:
    """Read both folders; `UserError` if one is missing, for several pairs of them, and for a name without pid."""
    found = [pair for pair in FOLDERS if (root / pair[0]).is_dir()]
    if len(found) != 1:
        names = [pair[0] for pair in (found or FOLDERS)]
        what = f"{' and '.join(names)}; leave one" if found else f"none of the folders {', '.join(names)}"
        raise UserError(f"partial_ilids: {root} holds {what}")
    folders = [root / name for name in found[0]]
    query, gallery = (read_flat(folder, camid, "partial_ilids") for camid, folder in enumerate(folders))
    places = dict.fromkeys(folders, 0)
    return Dataset("partial_ilids", root, (), query, gallery, published=PUBLISHED, folders=places, cameras=False)
