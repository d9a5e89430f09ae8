"""From a picture to what a network is given of it, without the network: small enough to be sent to other processes."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from PIL import Image
from torch import Tensor

from .preprocessing import Preprocessing

Sample = dict[str, Tensor]  # inputs of a network by name


@dataclass(frozen=True)
class PictureReader:
    """Called with a picture and the path of its file: (3, height, width) `pictures`.

    The path of a generated picture is None but for readers that have `knows_generated`.
    """

    preprocessing: Preprocessing
    knows_generated: ClassVar[bool] = False

    def __call__(self, picture: Image.Image, path: str | Path | None = None) -> Sample:
        return {"pictures": self.preprocessing(picture)}
