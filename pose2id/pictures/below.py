"""Pictures as users name them: files, and folders with all below them."""

import logging
from collections.abc import Iterable
from pathlib import Path

from ..devices import is_first_process
from ..errors import printable
from ..reading.listing import list_nested

logger = logging.getLogger(__name__)


def pictures_below(folder: Path) -> list[Path]:
    """The pictures of a folder and of all below it, sorted; a warning counts what is not read there."""
    paths, left_out = list_nested(folder)
    if left_out.counts and is_first_process():
        logger.warning("%s: %s", printable(folder), left_out)
    return sorted(paths)


def named_pictures(places: Iterable[str]) -> list[Path]:
    """Files as they are named, whether they are there or not, and the pictures below each folder, in their order."""
    return [path for place in map(Path, places) for path in (pictures_below(place) if place.is_dir() else [place])]
