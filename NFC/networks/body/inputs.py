"""What a network is told of the bodies in its pictures, as it declares it."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import Tensor

from ..blocks.parsing import Parsing
from .heat_maps import heat_maps
from .points import to_coco

Table = tuple[int, ...]  # class of a parsing -> label


def every_class(parsing: Parsing) -> Table:
    """Each class is a label of its own."""
    return tuple(range(len(parsing.classes)))


@dataclass(frozen=True)
class BodyInputs:
    """names: fields of `Inputs`: "points", "parsing", "heat_maps".

    optional: those of them that the network can do without. labels: the network's own label of each class of a parsing;
    raises `UserError` for a parsing that does not fit it. A module's function or a `partial` of one, as other processes
    are sent it. stride, deviation: of heat maps, see `body.heat_maps`.
    """

    names: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    labels: Callable[[Parsing], Table] = every_class
    stride: int = 4
    deviation: float = 2.0

    def without(self, name: str) -> "BodyInputs":
        return replace(self, names=tuple(other for other in self.names if other != name))

    def of(self, points: Tensor | None, parsing: Tensor | None, size: tuple[int, int]) -> dict[str, Tensor]:
        """What is declared, by name: from points (B, 18, 3) and labels (B, H, W) in pictures of `size`, (H, W)."""
        made = {"points": points, "parsing": None if parsing is None else parsing.long()}
        if "heat_maps" in self.names and points is not None:
            smaller = -(-size[0] // self.stride), -(-size[1] // self.stride)
            made["heat_maps"] = heat_maps(to_coco(points), smaller, self.stride, self.deviation)
        return {name: made[name] for name in self.names if made.get(name) is not None}
