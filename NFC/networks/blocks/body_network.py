"""What pose-guided networks have in common that their authors trained in Caffe."""

import re
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from ..base import Preprocessing
from ..body.inputs import BodyInputs
from ..body.points import NAMES, fourteen, nobody
from ..looks import Look, PointLook, shares_of
from ..reid_network import Inputs, ReIDNetwork


class BodyNetwork(ReIDNetwork):
    """`forward(pictures, points)`; points: (B, 18, 3) in pixels of the pictures, None for nobody.

    A subclass says by `official_name` what a tensor is called in the authors' file. `means`: of blue, green and red in
    [0, 255].
    """

    means: ClassVar[tuple[float, float, float]] = (104.0, 117.0, 123.0)
    people: ClassVar[str] = r"(?<![^/])conv\d+(?=[._])"  # the part of a classifier's name that holds their number

    def preprocessing(self) -> Preprocessing:
        mean = tuple(value / 255 for value in self.means)
        return Preprocessing(self.sizes.height, self.sizes.width, "bilinear", mean, (1 / 255,) * 3, "bgr")

    def training_inputs(self) -> BodyInputs:
        return BodyInputs(("points",))

    def test_inputs(self) -> BodyInputs:
        return BodyInputs(("points",))

    def black(self, pictures: Tensor) -> Tensor:
        """(3,): a black pixel of preprocessed pictures."""
        return self.preprocessing().normalise(torch.zeros(3, 1, 1, device=pictures.device)).flatten()

    def known(self, pictures: Tensor, points: Tensor | None) -> Tensor:
        """14 points (B, 14, 3) float32 of pictures (B, ...)."""
        return fourteen(nobody(len(pictures), pictures) if points is None else points.float())

    def explain(self, inputs: Inputs) -> list[Look]:
        """The points, and the energy of the picture's last map."""
        points = nobody(1, inputs.pictures)[0] if inputs.points is None else inputs.points[0]
        places = torch.cat([shares_of(points[:, :2] + 0.5, inputs.pictures), points[:, 2:]], dim=1)
        return [PointLook("Points of the body", places, NAMES), *super().explain(inputs)]

    def official_name(self, name: str) -> str:
        """The authors' name of the tensor that is called `name` here."""
        raise NotImplementedError

    def without_people(self, name: str) -> str:
        """`conv751.weight` -> `people.weight`, so that classifiers of all data sets have one name."""
        return re.sub(self.people, "people", name)

    def from_official(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        ours = {self.without_people(self.official_name(name)): name for name in self.state_dict()}
        return {
            ours.get(self.without_people(name), self.without_people(name)): tensor for name, tensor in tensors.items()
        }

    def to_official(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {self.official_name(name): tensor for name, tensor in tensors.items()}


def of_caffe(layer: str, field: str, norm: str, scale: str) -> str:
    """The name of a normalisation's `field`: Caffe has statistics and scale as two layers, named by two patterns."""
    return f"{(scale if field in ('weight', 'bias') else norm).format(layer)}.{field}"
