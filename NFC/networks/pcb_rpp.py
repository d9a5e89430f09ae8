"""RPP, refined part pooling (Sun et al., ECCV 2018): PCB whose positions choose their part.

Trained by the scheme `staged`: PCB, then the assignment alone ("induction"), then everything.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from pose2id.errors import UserError

from .base import Extractor
from .blocks.part_assignment import PartAssignment
from .files import build_from_file, build_from_tensors
from .pcb import PCB, PCBSizes
from .reid_network import Stage

ASSIGNMENTS = ("full", "grouped")
MASK = "local_mask.weight"


@dataclass(frozen=True)
class PCBRPPSizes(PCBSizes):
    """assignment: "full" is ours, of the map as it is and with parts that are weighted means; "grouped" the authors'.

    temperature: factor on the logits of the assignment.
    """

    assignment: str = "full"
    temperature: float = 1.0


class PCBRPP(PCB):
    """As PCB, with parts instead of stripes."""

    name = "pcb_rpp"
    Sizes = PCBRPPSizes
    STRIPES, INDUCTION, PARTS = Stage("stripes"), Stage("induction", ("refinement.",)), Stage("parts")
    stages = STRIPES, INDUCTION, PARTS

    def __init__(self, sizes: PCBRPPSizes) -> None:
        super().__init__(sizes)
        if sizes.assignment not in ASSIGNMENTS:
            raise UserError(f"unknown assignment '{sizes.assignment}'; choose one of: {', '.join(ASSIGNMENTS)}")
        official = sizes.assignment == "grouped"
        self.refinement = PartAssignment(self.backbone.channels, sizes.parts, official, sizes.temperature)
        self.stage = self.PARTS

    @classmethod
    def recognise(cls, tensors: Mapping[str, Tensor], preset: str, path: str | Path) -> Any:
        if MASK not in tensors:
            raise UserError(f"{path} does not fit: it lacks {MASK}; use a file of RPP, or the network pcb")
        grouped = tensors[MASK].shape[1] < 2048
        return replace(super().recognise(tensors, preset, path), assignment=ASSIGNMENTS[grouped])

    def of_one_data_set(self) -> tuple[str, ...]:
        """A run can start from a file of PCB."""
        return *super().of_one_data_set(), "refinement."

    def enter(self, stage: Stage) -> None:
        self.stage = stage

    def pool(self, maps: Tensor) -> Tensor:
        return super().pool(maps) if self.stage == self.STRIPES else self.refinement.pool(maps)

    def shares(self, maps: Tensor) -> Tensor:
        return super().shares(maps) if self.stage == self.STRIPES else self.refinement(maps)[0]

    def assignment(self, pictures: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, parts, h, w): how much of each position of the map goes to each part."""
        return self.refinement(self.backbone(pictures))


NETWORK = PCBRPP


def build(weights: str | Path | None, preset: str) -> Extractor:
    """RPP of the dialect, number of parts and form of assignment in the file."""
    return build_from_file(PCBRPP, weights, preset)


def from_tensors(tensors: Mapping[str, Tensor], path: str | Path) -> Extractor:
    """RPP with official `tensors`, which came from `path`."""
    return build_from_tensors(PCBRPP, tensors, path)
