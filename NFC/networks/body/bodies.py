"""What is known of the bodies in the pictures of a data set: points and label maps, of originals and generated ones."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from pose2id.errors import UserError

from ..blocks.parsing import PARSINGS, sides_of
from ..blocks.prompts import is_generated
from .inputs import BodyInputs
from .label_maps import DRAWN, DRAWN_CLASSES, UNKNOWN, LabelFolder, Missing, drawn_labels, label_folder
from .points import nobody, resized
from .sources import Source, keypoint_source, pose_keypoints

Size = tuple[int, int]


class Places(Protocol):
    """Settings. keypoints: see `body.sources`. parsing: a folder of label maps of `parsing_classes`, or "keypoints"."""

    keypoints: str | None
    parsing: str | None
    parsing_classes: str
    missing_parsing: Missing


@dataclass(frozen=True)
class Bodies:
    """keypoints: of originals. generated: of the poses that generated pictures were drawn in. labels: files of maps.

    drawn: label maps are drawn from the points; so they are of generated pictures that have points and no file.
    """

    keypoints: Source | None = None
    generated: Source | None = None
    labels: LabelFolder | None = None
    drawn: bool = False

    def __post_init__(self) -> None:
        if self.drawn and self.keypoints is None:
            raise UserError("parsing=keypoints draws label maps from keypoints: name these too, keypoints=PLACE")

    @property
    def have_labels(self) -> bool:
        return self.drawn or self.labels is not None

    def points(self, picture: Path, shown: Size, size: Size) -> Tensor:
        """Points (18, 3) float32 of a picture of `shown`, (height, width), in pixels of the same resized to `size`.

        All are missing for a picture that its source lacks; a damaged source raises `UserError`.
        """
        source = self.generated if is_generated(picture) else self.keypoints
        points = source(picture, shown) if source else None
        return nobody(1, torch.zeros(1))[0] if points is None else resized(points, shown, size)

    def label_map(self, picture: Path, shown: Size, size: Size, inputs: BodyInputs) -> np.ndarray:
        """The labels (H, W) uint8 of a picture resized to `size`, as the network of `inputs` counts them.

        `UNKNOWN` where nobody knows. `UserError` for a picture without a label map where none may be missing.
        """
        if self.labels:
            labels = self.labels(picture, size, inputs.labels(PARSINGS[self.labels.classes]))
            if labels is not None:
                return labels
        if self.can_draw(picture):
            return drawn_labels(self.points(picture, shown, size), size, inputs.labels(PARSINGS[DRAWN_CLASSES]))
        if self.labels and self.labels.missing is Missing.error:
            raise self.labels.lacking(picture)
        return np.full(size, UNKNOWN, np.uint8)

    def can_draw(self, picture: Path) -> bool:
        return self.generated is not None if is_generated(picture) else self.drawn

    def sides(self, inputs: BodyInputs) -> tuple[tuple[int, int], ...]:
        """The pairs of the network's labels that a mirror image exchanges."""
        parsing = PARSINGS[self.labels.classes if self.labels else DRAWN_CLASSES]
        return sides_of(parsing, inputs.labels(parsing))

    def state(self, pictures: Sequence[Path]) -> str:
        """Which files label maps of the pictures are read from; changes with their names, sizes and times."""
        if not self.labels:
            return DRAWN if self.drawn else ""
        digest = hashlib.sha256(self.labels.classes.encode())
        for picture in pictures:
            file = self.labels.find(picture)
            state = file.stat() if file else None
            line = f"{file.relative_to(self.labels.folder)} {state.st_size} {state.st_mtime_ns}" if file else ""
            digest.update(os.fsencode(f"{line}\n"))
        return digest.hexdigest()[:16]


def bodies_of(places: Places, generated_keypoints: str | Path | None = None) -> Bodies:
    """The sources at places that a user named; `UserError` for one that is none."""
    drawn = places.parsing == DRAWN
    return Bodies(
        keypoint_source(places.keypoints) if places.keypoints else None,
        pose_keypoints(generated_keypoints) if generated_keypoints else None,
        label_folder(places.parsing, places.parsing_classes, places.missing_parsing)
        if places.parsing and not drawn
        else None,
        drawn,
    )
