"""Extractors of networks that are told where the body is, from keypoint files."""

from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from ..base import Extractor, Preprocessing
from ..reading import PictureReader, Sample
from .points import mirrored, nobody
from .sources import Source, keypoint_source, read_points


@dataclass(frozen=True)
class PointsReader(PictureReader):
    """Original pictures come with their points where there is a source of them; all others with none."""

    source: Source | None = None

    def __call__(self, picture: Image.Image, path: str | Path | None = None) -> Sample:
        pictures = self.preprocessing(picture)
        if self.source is None or path is None:
            return {"pictures": pictures, "points": nobody(1, pictures)[0]}
        shown, size = (picture.height, picture.width), (pictures.shape[1], pictures.shape[2])
        return {"pictures": pictures, "points": read_points(self.source, Path(path), shown, size)}


class PointsExtractor(Extractor):
    """The network is called with pictures and points (B, 18, 3) in their pixels, see `NFC.networks.body`."""

    source: Source | None = None

    def __init__(self, network: torch.nn.Module, feature_dim: int, preprocessing: Preprocessing) -> None:
        super().__init__(network, feature_dim, preprocessing)
        self.inputs = (*self.inputs, "points")

    def use_keypoints(self, folder: str | Path) -> None:
        """Read the points of original pictures from `folder`, or a file of lines; generated pictures have none."""
        self.source, self.keypoints = keypoint_source(folder), Path(folder)

    def reader(self) -> PointsReader:
        return PointsReader(self.preprocessing, self.source)

    def sample(self, picture: Image.Image, path: str | Path | None = None) -> Sample:
        return self.reader()(picture, path)

    def mirror(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """The mirror images: left joints become right ones."""
        result = super().mirror(batch)
        if "points" in batch:
            result["points"] = mirrored(batch["points"], batch["pictures"].shape[-1])
        return result

    def forward(
        self,
        pictures: Tensor,
        camids: Tensor | None = None,
        keypoints: Tensor | None = None,
        points: Tensor | None = None,
    ) -> Tensor:
        """As `Extractor.forward`; without points nobody is in the pictures."""
        feats = self.network(pictures, points)
        return feats if isinstance(feats, Tensor) else feats.flatten()
