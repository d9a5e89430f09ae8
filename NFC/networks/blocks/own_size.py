"""Pictures in their own proportions, for DSR: what is read of each, and the extractor that shows it to the network."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import pad

from pose2id.errors import UserError, printable

from ..base import Extractor, Preprocessing
from ..reading import PictureReader, Sample

if TYPE_CHECKING:
    from ..dsr import DSR


@dataclass(frozen=True)
class OwnSizeReader(PictureReader):
    """Pictures as wide as the network's, as high as their proportions make them, with zeros below up to its height.

    `heights`, () int64, says where these zeros begin. A picture that would be higher than the network's is squeezed to
    that height; one that would be lower than `least` raises `UserError` with its file.
    """

    least: int = 1
    knows_generated: ClassVar[bool] = True  # so that their files can be named too

    def __call__(self, picture: Image.Image, path: str | Path | None = None) -> Sample:
        full, width = self.preprocessing.height, self.preprocessing.width
        height = min(round(picture.height * width / picture.width), full)
        if height < self.least:
            which = "a picture" if path is None else f"picture {printable(path)}"
            raise UserError(
                f"{which} is too flat: {width} pixels wide it is {height} high, and the network needs {self.least}; "
                "remove it, or leave out own_size"
            )
        shown = replace(self.preprocessing, height=height)(picture)
        return {"pictures": pad(shown, (0, 0, 0, full - height)), "heights": torch.tensor(height)}


class DSRExtractor(Extractor):
    """DSR; with `use_own_size`, pictures keep their proportions."""

    network: "DSR"

    def __init__(self, network: "DSR", preprocessing: Preprocessing) -> None:
        super().__init__(network, network.feature_dim, preprocessing)
        self.layout = network.layout

    def use_own_size(self) -> None:
        """From here on pictures are as wide as the network's, and as high as their proportions make them.

        Features are those of `DSR.in_own_size` with as many columns as a picture of full height has; those that a lower
        one lacks are zero, see `ColumnFeatures.padded`. That pictures are brought to one width is ours: the authors'
        PartialModel takes them as they are. One higher than the network's is squeezed to its height, and one too low
        for every window raises `UserError` with its file when it is read.
        """
        network = self.network
        self.layout, self.feature_dim = network.laid_out(self.height, self.width, network.own_windows)
        self.inputs, self.own_size = ("pictures", "heights"), True

    def reader(self) -> PictureReader:
        if not self.own_size:
            return PictureReader(self.preprocessing)
        smallest = min(filter(None, self.network.own_windows))
        return OwnSizeReader(self.preprocessing, (smallest - 1) * self.network.reduction + 1)

    def sample(self, picture: Image.Image, path: str | Path | None = None) -> Sample:
        """As `Extractor.sample`, but the file of a generated picture may be named too."""
        return self.reader()(picture, path)

    def preprocess(self, picture: Image.Image, path: str | Path | None = None) -> Tensor:
        return self.sample(picture, path)["pictures"]

    def forward(
        self,
        pictures: Tensor,
        camids: Tensor | None = None,
        keypoints: Tensor | None = None,
        heights: Tensor | None = None,
    ) -> Tensor:
        """As `Extractor.forward`. heights: (B,) int64, the rows of each picture that are its own; None for all of them.

        Pictures of one height go through the network together, without what lies below them.
        """
        if not self.own_size:
            return super().forward(pictures)
        if heights is None:
            heights = torch.full((len(pictures),), pictures.shape[2], device=pictures.device)
        values, order = heights.sort(stable=True)
        values, counts = values.unique_consecutive(return_counts=True)
        made = [
            self.network.in_own_size(pictures[rows, :, :height]).padded(self.layout.sizes[0]).flatten()
            for height, rows in zip(values.tolist(), order.split(counts.tolist()), strict=True)
        ]
        return torch.cat(made)[order.argsort()]
