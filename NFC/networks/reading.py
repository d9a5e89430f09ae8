"""From a picture to what a network is given of it, without the network: small enough to be sent to other processes."""

from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from torch import Tensor

from .preprocessing import Preprocessing

Sample = dict[str, Tensor]  # inputs of a network by name


@dataclass(frozen=True)
class PictureReader:
    """Called with a picture and the path of its file, None for a generated one: (3, height, width) `pictures`."""

    preprocessing: Preprocessing

    def __call__(self, picture: Image.Image, path: str | Path | None = None) -> Sample:
        return {"pictures": self.preprocessing(picture)}
