"""Label maps of people: the classes of three data sets of parsing, as tables class -> part, and their mirror images."""

from dataclasses import dataclass

import torch
from torch import Tensor

from pose2id.errors import UserError

PARTS = ("background", "head", "torso and arms", "legs", "shoes")  # of SPReID (Kalayeh et al., CVPR 2018)


@dataclass(frozen=True)
class Parsing:
    """The classes of a data set in their order, 0 the background.

    parts: for each class its number in `PARTS`. sides: pairs of classes that a mirror image exchanges.
    """

    classes: tuple[str, ...]
    parts: tuple[int, ...]
    sides: tuple[tuple[int, int], ...] = ()


_LIP = (
    *("background", "hat", "hair", "glove", "sunglasses", "upper clothes", "dress", "coat", "socks", "trousers"),
    *("jumpsuit", "scarf", "skirt", "face", "left arm", "right arm", "left leg", "right leg"),
    *("left shoe", "right shoe"),
)
_ATR = (
    *("background", "hat", "hair", "sunglasses", "upper clothes", "skirt", "trousers", "dress", "belt", "left shoe"),
    *("right shoe", "face", "left leg", "right leg", "left arm", "right arm", "bag", "scarf"),
)
_PASCAL = ("background", "head", "torso", "upper arms", "lower arms", "upper legs", "lower legs")
# The parts of LIP's classes are those of SPReID's code; those of the other two are ours.
PARSINGS = {
    "lip": Parsing(_LIP, (0, 1, 1, 2, 1, 2, 2, 2, 4, 3, 2, 2, 3, 1, 2, 2, 3, 3, 4, 4), ((14, 15), (16, 17), (18, 19))),
    "atr": Parsing(_ATR, (0, 1, 1, 1, 2, 3, 3, 2, 3, 4, 4, 1, 3, 3, 2, 2, 0, 2), ((9, 10), (12, 13), (14, 15))),
    "pascal": Parsing(_PASCAL, (0, 1, 2, 2, 2, 3, 3)),
}


def parsing_named(name: str, setting: str = "parsing_classes") -> Parsing:
    """`PARSINGS[name]`; `UserError` that names the `setting` for an unknown one."""
    if name not in PARSINGS:
        raise UserError(f"{setting} '{name}' is not one of: {', '.join(PARSINGS)}")
    return PARSINGS[name]


def sides_of(parsing: Parsing, table: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    """The pairs of labels that a mirror image exchanges, where a table class -> label keeps left and right apart."""
    pairs = ((table[left], table[right]) for left, right in parsing.sides)
    return tuple(pair for pair in pairs if pair[0] != pair[1])


def part_of(labels: Tensor, table: tuple[int, ...]) -> Tensor:
    """Labels (...) int64 -> the part of each, by a table class -> part; negative ones (unknown) stay.

    `UserError` for a label that the table does not have.
    """
    if labels.numel() and int(labels.max()) >= len(table):
        raise UserError(f"label {int(labels.max())} is of none of {len(table)} classes: name the parsing it is of")
    parts = torch.tensor(table, device=labels.device)[labels.clamp(min=0)]
    return torch.where(labels < 0, labels, parts)


def part_sums(probabilities: Tensor, table: tuple[int, ...]) -> Tensor:
    """Probabilities of classes (B, C, H, W) -> of parts (B, P, H, W), P the largest part of the table and one."""
    sums = probabilities.new_zeros(len(probabilities), max(table) + 1, *probabilities.shape[2:])
    return sums.index_add_(1, torch.tensor(table, device=probabilities.device), probabilities)


def mirrored(labels: Tensor, sides: tuple[tuple[int, int], ...]) -> Tensor:
    """Label maps (..., H, W) of the mirror image: columns turned round, left and right classes exchanged."""
    turned = labels.flip(-1)
    result = turned.clone()
    for left, right in sides:
        result[turned == left], result[turned == right] = right, left
    return result
