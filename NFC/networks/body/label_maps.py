"""Label maps of pictures: read from a folder of files, as parsers write them, or drawn from points of a body."""

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pose2id.errors import UserError, printable
from pose2id.pictures import read_labels

from ..blocks.limbs import limb_map
from ..blocks.parsing import parsing_named
from ..blocks.prompts import is_generated
from .inputs import Table
from .soft_maps import SUFFIX, likeliest

UNKNOWN = 255  # in maps of 8 bits, which know no -1
DRAWN = "keypoints"  # in the place of a folder: label maps are drawn from the keypoints
DRAWN_CLASSES = "pascal"  # of `limb_map`
MOST_FOLDERS = 4  # above a picture that a label map's path can name


class Missing(Enum):
    """What to do with a picture that has no label map; nothing is known of the parts in one that is skipped."""

    error = "error"
    skip = "skip"


@dataclass(frozen=True)
class LabelFolder:
    """`<folder>/<split folder>/<picture's stem>.png` or, without a split, `<folder>/<picture's stem>.png`.

    Where there is no such file, one of scores with the suffix `.npy` (see `soft_maps`). The folders of nested data sets
    are found likewise. Maps of generated pictures lie in `<split>_gen/pose{k}/`.
    classes: whose, one of `PARSINGS`.
    """

    folder: Path
    classes: str
    missing: Missing = Missing.error

    def find(self, picture: Path) -> Path | None:
        """The map of a picture, the one whose path has most in common with the picture's; None where there is none."""
        places = (file for label in self._places(picture) for file in (label, label.with_suffix(SUFFIX)))
        return next((file for file in places if file.is_file()), None)

    def _places(self, picture: Path) -> list[Path]:
        *folders, name = picture.with_name(f"{picture.stem}.png").parts
        if is_generated(picture):  # the map of the original, which has the same name, is another one
            split = max(i for i, folder in enumerate(folders) if folder.endswith("_gen"))
            return [self.folder.joinpath(*folders[split:], name)]
        firsts = range(max(0, len(folders) - MOST_FOLDERS), len(folders) + 1)
        return [self.folder.joinpath(*folders[first:], name) for first in firsts if not Path(*folders[first:]).root]

    def lacking(self, picture: Path) -> UserError:
        expected = self._places(picture)[-2:][0].relative_to(self.folder)  # in the split's folder, if there is one
        or_drawn = ", give generated_keypoints, from which it is drawn," if is_generated(picture) else ""
        return UserError(
            f"no label map of {printable(picture)} in {printable(self.folder)}: expected {printable(expected)} there; "
            f"write it{or_drawn} or give missing_parsing=skip"
        )

    def __call__(self, picture: Path, size: tuple[int, int], table: Table) -> np.ndarray | None:
        """Labels (H, W) uint8 of `size`, by a table class -> label; None where the picture has no map.

        A map of another size is resized by its nearest pixels. `UserError` naming a file that cannot be read or holds
        another class.
        """
        file = self.find(picture)
        if file is None:
            return None
        if file.suffix == SUFFIX:
            return relabelled(likeliest(file, len(table), size), table, size)
        classes = read_labels(file)
        if (largest := int(classes.max())) >= len(table):
            raise UserError(
                f"label map {printable(file)} holds the class {largest}, but {self.classes} has {len(table)}: say "
                "whose classes they are with parsing_classes"
            )
        return relabelled(classes, table, size)


def relabelled(classes: np.ndarray, table: Table, size: tuple[int, int]) -> np.ndarray:
    """Classes (h, w) uint8 -> labels (H, W) uint8 of `size`, by their nearest pixels."""
    labels = Image.fromarray(np.array(table, np.uint8)[classes])
    return np.array(labels.resize(size[::-1], Image.Resampling.NEAREST))


def label_folder(place: str | Path, classes: str, missing: Missing = Missing.error) -> LabelFolder:
    """`UserError` where there is no such folder, no label map in it, or for unknown `classes`."""
    parsing_named(classes)
    folder = Path(place)
    if not folder.is_dir():
        raise UserError(f"folder of label maps {printable(folder)} does not exist: check the path")
    if not any(next(folder.rglob(f"*{suffix}"), None) for suffix in (".png", SUFFIX)):
        raise UserError(f"{printable(folder)} holds no label maps <split>/<picture's stem>.png: check the path")
    return LabelFolder(folder, classes, missing)


def drawn_labels(points: Tensor, size: tuple[int, int], table: Table) -> np.ndarray:
    """Labels (H, W) uint8 of points (18, 3), see `limb_map`; of nobody's points all are `UNKNOWN`."""
    if not (points[:, 2] > 0).any():
        return np.full(size, UNKNOWN, np.uint8)
    corners = points + points.new_tensor([0.5, 0.5, 0])  # from the corner of the first pixel, as `limb_map` counts
    return np.array(table, np.uint8)[limb_map(corners, *size).numpy()]


def signed(labels: np.ndarray) -> Tensor:
    """(...) uint8 -> int16, with -1 for unknown."""
    maps = torch.from_numpy(labels).short()
    return maps.masked_fill(maps == UNKNOWN, -1)
