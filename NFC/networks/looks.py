"""What a network looked at, as values: maps, parts, boxes, points and pictures of one picture, or how two are compared.

Places are shares of a picture: x from 0, its left border, to 1, its right one, y downwards; boxes are x1, y1, x2, y2.
`numbers` gives a look's plain numbers for a picture of (width, height), with places in its pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ..features.kinds.alignment import element_distances, shortest_path

Box = tuple[float, float, float, float]
Numbers = dict[str, object]

WHOLE: Box = (0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True)
class Look:
    """title: a few words on what is to be seen. kind: of the look, in files."""

    kind: ClassVar[str]
    title: str

    def numbers(self, size: tuple[int, int]) -> Numbers:
        raise NotImplementedError


@dataclass(frozen=True)
class MapLook(Look):
    """Maps (K, h, w), at least 0, each with a name: where the network looked, the more the larger.

    full: the value that is drawn strongest, None for the largest of each map. place: of the picture, what they cover.
    """

    kind: ClassVar[str] = "maps"
    maps: Tensor
    names: Sequence[str]
    full: float | None = None
    place: Box = WHOLE

    def numbers(self, size: tuple[int, int]) -> Numbers:
        rows = [_of_map(own, float(self.maps.double().sum()), self.place, size) for own in self.maps]
        named = [{"name": name, **row} for name, row in zip(self.names, rows, strict=True)]
        return {"shape": list(self.maps.shape[1:]), "maps": named}


@dataclass(frozen=True)
class PartLook(MapLook):
    """Maps that say how much of each place goes to each part: in [0, 1], at most 1 together.

    visible: whether the network counts each part as seen; None where it does not say.
    """

    kind: ClassVar[str] = "parts"
    full: float | None = 1.0
    visible: Sequence[bool] | None = None

    def numbers(self, size: tuple[int, int]) -> Numbers:
        numbers = super().numbers(size)
        return numbers if self.visible is None else numbers | {"visible": [bool(seen) for seen in self.visible]}


@dataclass(frozen=True)
class BoxLook(Look):
    """Boxes (K, 4), each with a name."""

    kind: ClassVar[str] = "boxes"
    boxes: Tensor
    names: Sequence[str]

    def numbers(self, size: tuple[int, int]) -> Numbers:
        pixels = (self.boxes.cpu() * torch.tensor([*size, *size])).tolist()
        return {"boxes": [{"name": name, "box": box} for name, box in zip(self.names, pixels, strict=True)]}


@dataclass(frozen=True)
class PointLook(Look):
    """Points (K, 3) of x, y and confidence, 0 for a missing one, each with a name."""

    kind: ClassVar[str] = "points"
    points: Tensor
    names: Sequence[str]

    def numbers(self, size: tuple[int, int]) -> Numbers:
        pixels = (self.points.cpu() * torch.tensor([*size, 1])).tolist()
        return {"points": [{"name": name, "point": point} for name, point in zip(self.names, pixels, strict=True)]}


@dataclass(frozen=True)
class PictureLook(Look):
    """Pictures (K, 3, h, w) that the network made of its own, preprocessed as it is given them, each with a name."""

    kind: ClassVar[str] = "pictures"
    pictures: Tensor
    names: Sequence[str]

    def numbers(self, size: tuple[int, int]) -> Numbers:
        return {"names": list(self.names)}


@dataclass(frozen=True)
class DifferenceLook(Look):
    """Of two pictures: maps (2, K, h, w), at least 0, of the first and the second; and what the network says of both.

    names: of the K maps of both pictures. verdict: what `score`, higher for pictures that are more alike, is.
    """

    kind: ClassVar[str] = "differences"
    maps: Tensor
    names: tuple[Sequence[str], Sequence[str]]
    verdict: str
    score: float

    def numbers(self, size: tuple[int, int]) -> Numbers:
        """Places of both pictures in pixels of `size`."""
        sides = [MapLook(self.title, *side).numbers(size)["maps"] for side in zip(self.maps, self.names, strict=True)]
        return {"verdict": self.verdict, "score": self.score, "shape": list(self.maps.shape[2:]), "maps": sides}


@dataclass(frozen=True)
class PathLook(Look):
    """Of two pictures: stripes (H, d) and (K, d), which DMLI aligns."""

    kind: ClassVar[str] = "path"
    stripes: tuple[Tensor, Tensor]

    def numbers(self, size: tuple[int, int]) -> Numbers:
        """The cells of the path, stripes from 0 at the top, with their distances."""
        elements = element_distances(*(own.double().cpu() for own in self.stripes))
        path = shortest_path(elements.numpy())
        distances = elements[path[0], path[1]]
        return {"path": path.T.tolist(), "distances": distances.tolist(), "distance": float(distances.sum())}


@dataclass(frozen=True)
class SetLook(Look):
    """Of two pictures: maps (2, C, h, w), at least 0, whose means over the places are compared as sets."""

    kind: ClassVar[str] = "sets"
    maps: Tensor

    def numbers(self, size: tuple[int, int]) -> Numbers:
        first, second = self.maps.mean((2, 3)).double().cpu()
        common, union = torch.minimum(first, second).sum(), torch.maximum(first, second).sum()
        return {"common": float(common), "only": [float(own.sum() - common) for own in (first, second)]} | {
            "jaccard": float(common / union) if union > 0 else 0.0
        }


def _of_map(own: Tensor, total: float, place: Box, size: tuple[int, int]) -> Numbers:
    """share: of the sum of all maps of the look; centre: of mass, in pixels, None of an empty map."""
    weights = own.double().cpu()
    mass = float(weights.sum())
    numbers: Numbers = {"share": mass / total if total > 0 else 0.0, "mean": float(weights.mean())}
    numbers |= {"largest": float(weights.max()), "centre": None}
    if mass > 0:
        sides = weights.sum(0), weights.sum(1)
        middles = [float((side * (torch.arange(len(side)) + 0.5)).sum() / (mass * len(side))) for side in sides]
        numbers["centre"] = [
            (place[axis] + (place[axis + 2] - place[axis]) * middles[axis]) * size[axis] for axis in (0, 1)
        ]
    return numbers


def energy(maps: Tensor) -> Tensor:
    """(..., C, h, w) -> (..., h, w): the length of the vector of each place."""
    return maps.float().square().sum(-3).sqrt()


def energy_look(maps: Tensor, names: Sequence[str] = ("energy",), title: str = "Energy of the last map") -> MapLook:
    """Of a map (C, h, w), or of K maps (K, C, h, w): how strongly a network answers at each place."""
    return MapLook(title, energy(maps).reshape(len(names), *maps.shape[-2:]), names)


def numbered(name: str, count: int) -> list[str]:
    """part 1, part 2, and so on."""
    return [f"{name} {number}" for number in range(1, count + 1)]


def shares_of(places: Tensor, pictures: Tensor) -> Tensor:
    """(..., 2 N) of x, y, x, y and so on in pixels of pictures (B, 3, H, W) -> in shares of them."""
    height, width = pictures.shape[2:]
    return places / places.new_tensor([width, height] * (places.shape[-1] // 2))


def grid_place(first: float, step: float, grid: tuple[int, int], size: tuple[int, int]) -> Box:
    """What cells of `step` pixels cover, whose first centre is at pixel `first` in both directions.

    grid: rows and columns; size: (height, width) of the picture in pixels.
    """
    start = first + 0.5 - step / 2
    (y1, x1), (y2, x2) = (
        [at / side for at, side in zip(ends, size, strict=True)]
        for ends in ((start, start), [start + step * count for count in grid])
    )
    return x1, y1, x2, y2
