"""What batches tell of the bodies in the pictures of a training set: points, label maps, heat maps."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pose2id.errors import UserError, printable
from pose2id.pictures import read_picture

from ..datasets.synthetic.groups import Groups
from ..networks.blocks.parsing import PARSINGS, sides_of
from ..networks.body.bodies import Bodies, bodies_of
from ..networks.body.inputs import BodyInputs
from ..networks.body.label_maps import DRAWN, DRAWN_CLASSES, Missing, drawn_labels, relabelled, signed
from ..networks.body.points import resized
from .kept import Kept, in_threads, state_of

logger = logging.getLogger(__name__)

OWN = "own"  # in the place of a folder of label maps: those of the groups, whose classes are the drawn ones
NAME = "label_maps"
DRAWN_PARSING = PARSINGS[DRAWN_CLASSES]
LACKING = {
    "points": "the points of bodies: name their keypoints, data.keypoints=PLACE",
    "heat_maps": "heat maps, which are drawn from keypoints: name these, data.keypoints=PLACE",
    "parsing": "label maps: name their folder, data.parsing=FOLDER, or draw them from the keypoints, "
    f"data.parsing={DRAWN}",
}


@dataclass(frozen=True)
class TrainingBodies:
    """Of N pictures, in pixels of the resized ones; None where the network is not told.

    inputs: what the network is told. points: (N, 18, 3) float32. labels: (N, H, W) uint8, the network's, `UNKNOWN`
    where nobody knows; sides: the pairs of them that a mirror image exchanges. sources: of generated pictures.
    """

    inputs: BodyInputs = field(default_factory=BodyInputs)
    points: np.ndarray | None = None
    labels: np.ndarray | None = None
    sides: tuple[tuple[int, int], ...] = ()
    sources: Bodies = field(default_factory=Bodies)

    def of(
        self, rows: np.ndarray, generated: Mapping[int, tuple[Path, Image.Image]], size: tuple[int, int]
    ) -> tuple[Tensor | None, Tensor | None]:
        """Points (B, 18, 3) and labels (B, H, W) int16 of the pictures `rows` (B,), resized to `size`.

        generated: by the place of a row, the generated picture that is shown in its stead.
        """
        points = None if self.points is None else torch.from_numpy(np.array(self.points[rows]))
        labels = None if self.labels is None else np.array(self.labels[rows])
        for place, (path, picture) in generated.items():
            shown = picture.height, picture.width
            if points is not None:
                points[place] = self.sources.points(path, shown, size)
            if labels is not None:
                labels[place] = self.sources.label_map(path, shown, size, self.inputs)
        return points, None if labels is None else signed(labels)


@dataclass(kw_only=True)
class BodyConfig:
    """Where the keypoints and label maps of a data set's pictures are found.

    keypoints: a folder or file (`NFC.networks.body.sources`). parsing: a folder of label maps
    (`NFC.networks.body.label_maps`), "keypoints" to draw them from the keypoints, or "own" for those of groups.
    parsing_classes: whose classes these are. missing_parsing: what to do with a picture that has no label map.
    """

    keypoints: str | None = None
    parsing: str | None = None
    parsing_classes: str = DRAWN_CLASSES
    missing_parsing: Missing = Missing.error


def told_of(config: BodyConfig, inputs: BodyInputs, groups: bool) -> BodyInputs:
    """`inputs` without what the network can do without and nobody names.

    groups: they have their own. `UserError` for what is lacking, and for label maps that the network does not want.
    """
    if config.parsing and "parsing" not in inputs.names:
        raise UserError("the network learns nothing from label maps; leave out data.parsing")
    points, own_labels = config.keypoints or groups, groups and "parsing" not in inputs.optional
    named = {"points": points, "heat_maps": points, "parsing": config.parsing or own_labels}
    lacking = [name for name in inputs.names if not named[name]]
    for name in lacking:
        if name not in inputs.optional:
            raise UserError(f"the network learns from {LACKING[name]}")
    return replace(inputs, names=tuple(name for name in inputs.names if name not in lacking))


def of_data_set(
    paths: Sequence[Path],
    generated: Sequence[Sequence[Path]],
    config: BodyConfig,
    generated_keypoints: str | None,
    inputs: BodyInputs,
    kept: Kept,
) -> TrainingBodies:
    """Of the pictures at `paths`, with the sources of their generated ones; `UserError` for what is missing."""
    inputs = told_of(config, inputs, groups=False)
    if not inputs.names:
        return TrainingBodies()
    if config.parsing == OWN:
        raise UserError(f"data.parsing={OWN} are the label maps of groups; name the folder of those of the data set")
    sources = bodies_of(config, generated_keypoints)
    points = _read_points(paths, sources, config, kept.size) if sources.keypoints else None
    if "parsing" not in inputs.names:
        return TrainingBodies(inputs, points, sources=sources)
    _check_there([path for own in (paths, *generated) for path in own], sources)
    labels = _drawn(points, inputs, kept) if sources.drawn else _read_labels(paths, sources, inputs, kept)
    return TrainingBodies(inputs, points, labels, sources.sides(inputs), sources)


def of_groups(groups: Groups, folder: Path, config: BodyConfig, inputs: BodyInputs, kept: Kept) -> TrainingBodies:
    """Of all pictures of the groups in `folder`; `UserError` for label maps that these lack."""
    inputs = told_of(config, inputs, groups=True)
    if not inputs.names:
        return TrainingBodies()
    shown = groups.pictures.shape[2], groups.pictures.shape[3]
    points = resized(torch.from_numpy(np.array(groups.keypoints)).flatten(0, 1), shown, kept.size).numpy()
    if "parsing" not in inputs.names:
        return TrainingBodies(inputs, points)
    if config.parsing == DRAWN:
        labels = _drawn(points, inputs, kept)
    elif config.parsing in (None, OWN):
        labels = _own_labels(groups, folder, inputs, kept)
    else:
        raise UserError(f"groups have label maps of their own: data.parsing={OWN} or {DRAWN}, not {config.parsing}")
    return TrainingBodies(inputs, points, labels, sides_of(DRAWN_PARSING, inputs.labels(DRAWN_PARSING)))


def _own_labels(groups: Groups, folder: Path, inputs: BodyInputs, kept: Kept) -> np.ndarray:
    if groups.parsing is None:
        raise UserError(
            f"{printable(folder)} holds groups without label maps; write them again with pose2id synthetic --layout "
            f"groups, or draw them from the keypoints, data.parsing={DRAWN}"
        )
    table = inputs.labels(DRAWN_PARSING)
    maps = groups.parsing.reshape(-1, *groups.parsing.shape[2:])
    return kept(
        state_of(folder / "parsing.npy") + str(table).encode(),
        maps,
        partial(relabelled, table=table, size=kept.size),
        name=NAME,
    )


def _read_points(paths: Sequence[Path], sources: Bodies, config: BodyConfig, size: tuple[int, int]) -> np.ndarray:
    """(N, 18, 3) float32 in pixels of the resized pictures; a warning counts those without, `UserError` if all are."""

    def read(path: Path) -> np.ndarray:
        width, height = read_picture(path).size
        return sources.points(path, (height, width), size).numpy()

    points = in_threads(read, paths, "keypoints")
    missing = np.flatnonzero((points[..., 2] <= 0).all(1))
    told = f"{len(missing):,} of {len(paths):,} pictures have no keypoints in {config.keypoints}, such as"
    if len(missing) == len(paths):
        raise UserError(f"none of {len(paths):,} pictures has keypoints in {config.keypoints}; check the path")
    if len(missing):
        logger.warning("%s %s", told, printable(paths[missing[0]]))
    return points


def _check_there(paths: Sequence[Path], sources: Bodies) -> None:
    """`UserError` naming the first picture without a label map, where none may be missing."""
    if sources.labels is None or sources.labels.missing is Missing.skip:
        return
    for path in paths:
        if sources.labels.find(path) is None and not sources.can_draw(path):
            raise sources.labels.lacking(path)


def _read_labels(paths: Sequence[Path], sources: Bodies, inputs: BodyInputs, kept: Kept) -> np.ndarray:
    folder = sources.labels
    table = inputs.labels(PARSINGS[folder.classes])
    source = f"{folder.folder.resolve()} {sources.state(paths)} {table}"

    def read(path: Path) -> np.ndarray:
        return sources.label_map(path, kept.size, kept.size, inputs)

    return kept(source.encode(), paths, read, name=NAME)


def _drawn(points: np.ndarray, inputs: BodyInputs, kept: Kept) -> np.ndarray:
    table = inputs.labels(DRAWN_PARSING)

    def draw(own: np.ndarray) -> np.ndarray:
        return drawn_labels(torch.from_numpy(own), kept.size, table)

    return kept(points.tobytes() + str(table).encode(), points, draw, name=NAME)
