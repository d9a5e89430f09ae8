"""Partial-REID: `<root>/{partial,occluded,whole}_body_images/001_001.jpg`, 60 people with five pictures in each folder.

`occluded_body_images` holds whole boxes of which something is hidden, `partial_body_images` what is left of these once
that is cut away. There is no training split. Two protocols are in use: all pictures at once, and single-shot, where
every person has one query and one gallery picture: 5 x 5 trials, one for each pair of places in the order of names.
"""

from itertools import product
from pathlib import Path

from pose2id.errors import UserError

from .base import Dataset, Record, Trial
from .partial_whole import WHOLE, read_flat

OPTIONS = {"protocol": ("all", "single"), "query": ("partial", "occluded")}
PUBLISHED = {"all": (300, 60), "single": (60, 60)}


def read_partial_reid(root: Path, protocol: str, query: str) -> Dataset:
    """Read the folder of `query` pictures and that of whole ones; only these need be there.

    `UserError` for a missing folder, a name without pid, and single-shot where people have unequal numbers of pictures.
    """
    folders = [root / f"{query}_body_images", root / WHOLE]
    sides = [read_flat(folder, camid, "partial_reid") for camid, folder in enumerate(folders)]
    shots = [_by_shot(*pair) for pair in zip(sides, folders, strict=True)] if protocol == "single" else []
    return Dataset(
        "partial_reid",
        root,
        (),
        *sides,
        trials=[Trial(*pair) for pair in product(*shots)] if shots else (),
        published=dict.fromkeys(("query", "gallery"), PUBLISHED[protocol]),
        folders=dict.fromkeys(folders, 0),
        cameras=False,
    )


def _by_shot(records: list[Record], folder: Path) -> list[list[int]]:
    """For each place in the order of names, where the picture of each person at that place is."""
    people: dict[int, list[int]] = {}
    for place, record in enumerate(records):
        people.setdefault(record.pid, []).append(place)
    counts = {pid: len(places) for pid, places in people.items()}
    if len(set(counts.values())) > 1:
        least, most = (extreme(counts, key=counts.__getitem__) for extreme in (min, max))
        raise UserError(
            f"partial_reid: in {folder} pid {least} has {counts[least]} pictures and pid {most} {counts[most]}; "
            "protocol=single needs as many of each person, protocol=all does not"
        )
    return [list(shot) for shot in zip(*people.values(), strict=True)]
