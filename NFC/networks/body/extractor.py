"""Extractors of networks that are told of the bodies in their pictures, from files beside these."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

import torch
from PIL import Image
from torch import Tensor

from ..base import Extractor, Preprocessing
from ..blocks.parsing import mirrored as mirrored_labels
from ..blocks.parsing import parsing_named
from ..reading import PictureReader, Sample
from .bodies import Bodies, Places
from .inputs import BodyInputs
from .label_maps import DRAWN, DRAWN_CLASSES, Missing, label_folder, signed
from .points import mirrored, nobody
from .sources import keypoint_source, pose_keypoints


@dataclass(frozen=True)
class BodyReader(PictureReader):
    """Pictures come with what the network is told of them, `inputs`, as far as there are sources, `bodies`.

    Points without a source are all missing; label maps without one are left out.
    """

    inputs: BodyInputs = field(default_factory=BodyInputs)
    bodies: Bodies = field(default_factory=Bodies)
    knows_generated: ClassVar[bool] = True

    def __call__(self, picture: Image.Image, path: str | Path | None = None) -> Sample:
        sample = super().__call__(picture)
        shown, size = (picture.height, picture.width), (self.preprocessing.height, self.preprocessing.width)
        if "points" in self.inputs.names:
            nothing = nobody(1, sample["pictures"])[0]
            sample["points"] = nothing if path is None else self.bodies.points(Path(path), shown, size)
        if "parsing" in self.inputs.names and self.bodies.have_labels and path is not None:
            sample["parsing"] = signed(self.bodies.label_map(Path(path), shown, size, self.inputs)).long()
        return sample


class BodyExtractor(Extractor):
    """The network is called with pictures and, by their names, the points (B, 18, 3) or label maps it is told of."""

    def __init__(
        self, network: torch.nn.Module, feature_dim: int, preprocessing: Preprocessing, told: BodyInputs
    ) -> None:
        super().__init__(network, feature_dim, preprocessing)
        self.told, self.bodies = told, Bodies()
        self.inputs = (*self.inputs, *told.names)

    def use_keypoints(self, folder: str | Path) -> None:
        """Read the points of original pictures from `folder`, or a file of lines."""
        self.bodies = replace(self.bodies, keypoints=keypoint_source(folder))
        self.keypoints = Path(folder)

    def use_generated_keypoints(self, place: str | Path) -> None:
        """Take the points of generated pictures from the `keypoints.json` of their poses; else these have none."""
        source = pose_keypoints(place)
        self.bodies, self.generated_keypoints = replace(self.bodies, generated=source), source.path

    def use_parsing(self, place: str | Path, classes: str = DRAWN_CLASSES, missing: Missing = Missing.error) -> None:
        """Read label maps of pictures from the folder `place`, or draw them from the points (place "keypoints").

        `UserError` for a network that takes none, or none of these classes.
        """
        if "parsing" not in self.told.names:
            super().use_parsing(place, classes, missing)
        if str(place) == DRAWN:
            self.bodies = replace(self.bodies, labels=None, drawn=True)
        else:
            self.bodies = replace(self.bodies, labels=label_folder(place, classes, missing), drawn=False)
        self.told.labels(parsing_named(classes))

    def parsing_state(self, pictures: Sequence[Path]) -> str:
        return self.bodies.state(pictures)

    def reader(self) -> BodyReader:
        return BodyReader(self.preprocessing, self.told, self.bodies)

    def sample(self, picture: Image.Image, path: str | Path | None = None) -> Sample:
        """As `Extractor.sample`, but the file of a generated picture may be named too."""
        return self.reader()(picture, path)

    def mirror(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """The mirror images: left joints and left parts become right ones."""
        result = super().mirror(batch)
        if "points" in batch:
            result["points"] = mirrored(batch["points"], batch["pictures"].shape[-1])
        if "parsing" in batch:
            result["parsing"] = mirrored_labels(batch["parsing"], self.bodies.sides(self.told))
        return result

    def forward(
        self,
        pictures: Tensor,
        camids: Tensor | None = None,
        keypoints: Tensor | None = None,
        points: Tensor | None = None,
        parsing: Tensor | None = None,
    ) -> Tensor:
        """As `Extractor.forward`. Without points nobody is in the pictures."""
        given = {"points": points, "parsing": parsing}
        feats = self.network(pictures, **{name: given[name] for name in self.told.names})
        return feats if isinstance(feats, Tensor) else feats.flatten()


def tell(extractor: Extractor, places: Places) -> None:
    """Let a network know where to find what it is told of bodies; `UserError` for what it is not told."""
    if places.keypoints:
        extractor.use_keypoints(places.keypoints)
    if places.parsing:
        extractor.use_parsing(places.parsing, places.parsing_classes, places.missing_parsing)
