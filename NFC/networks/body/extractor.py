"""Extractors of networks that are told where the body is, from keypoint files."""

from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from pose2id.errors import UserError

from ..base import Extractor, Preprocessing
from ..blocks.prompts import find_keypoint_file, read_people
from ..reading import PictureReader, Sample
from .points import from_coco, mirrored, nobody, resized


def keypoint_folder(folder: str | Path) -> Path:
    """A folder of keypoint files; `UserError` where there is none, or none in it."""
    if not Path(folder).is_dir():
        raise UserError(f"keypoint folder {folder} does not exist: check the path")
    if next(Path(folder).glob("*/*_keypoints.json"), None) is None:
        raise UserError(f"{folder} holds no keypoint files <split>/<picture>_keypoints.json: check the path")
    return Path(folder)


def read_points(folder: Path, picture: Path, source: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """Points (18, 3) float32 of the person who is meant in a picture of `source`, (height, width).

    They are in pixels of the picture resized to `size`. All are missing for a generated picture and for one without a
    file; a damaged file raises `UserError`.
    """
    file = find_keypoint_file(folder, picture)
    people = read_people(file, source) if file else []
    if not people:
        return nobody(1, torch.zeros(1))[0]
    return resized(from_coco(torch.from_numpy(people[0]).float()), source, size)


@dataclass(frozen=True)
class PointsReader(PictureReader):
    """Original pictures come with their points where there is a folder of keypoint files; all others with none."""

    folder: Path | None = None

    def __call__(self, picture: Image.Image, path: str | Path | None = None) -> Sample:
        pictures = self.preprocessing(picture)
        if self.folder is None or path is None:
            return {"pictures": pictures, "points": nobody(1, pictures)[0]}
        source, size = (picture.height, picture.width), (pictures.shape[1], pictures.shape[2])
        return {"pictures": pictures, "points": read_points(self.folder, Path(path), source, size)}


class PointsExtractor(Extractor):
    """The network is called with pictures and points (B, 18, 3) in their pixels, see `NFC.networks.body`."""

    def __init__(self, network: torch.nn.Module, feature_dim: int, preprocessing: Preprocessing) -> None:
        super().__init__(network, feature_dim, preprocessing)
        self.inputs = (*self.inputs, "points")

    def use_keypoints(self, folder: str | Path) -> None:
        """Read the points of original pictures from the keypoint files in `folder`; generated ones have none."""
        self.keypoints = keypoint_folder(folder)

    def reader(self) -> PointsReader:
        return PointsReader(self.preprocessing, self.keypoints)

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
