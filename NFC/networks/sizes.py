"""Sizes that somebody gives, held against the network that they are to make, before anything is spent on it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, get_type_hints

import torch

from pose2id.errors import UserError
from pose2id.reading.files import one_line
from pose2id.reading.sizes import LARGEST_SIZE
from pose2id.settings.ranges import Range, check_ranges

from .base import Extractor
from .reid_network import Inputs, ReIDNetwork

COUNT, OPTIONAL, WEIGHT = Range(1, LARGEST_SIZE), Range(0, LARGEST_SIZE), Range(0, LARGEST_SIZE)
RANGES = {int: COUNT, list[int]: COUNT, float: WEIGHT}  # by the type of a field


@contextmanager
def making(name: str, where: str) -> Iterator[None]:
    """Whatever goes wrong in here is told as a `UserError` starting with `where`: the sizes make no network `name`."""
    try:
        yield
    except Exception as error:  # what sizes of no network lead to has no end
        reason = str(error) if isinstance(error, UserError) else f"these sizes make no {name}: {one_line(error)}"
        raise UserError(reason if reason.startswith(where) else f"{where}: {reason}") from error


def check_numbers(kind: type[ReIDNetwork], sizes: Any, where: str) -> None:
    """`UserError` starting with `where` for counts in `sizes` below 1, or 0 for `optional` ones, and odd numbers."""
    hints = get_type_hints(kind.Sizes)
    ranges = {name: RANGES[hint] for name, hint in hints.items() if hint in RANGES}
    check_ranges(sizes, ranges | {name: OPTIONAL for name in kind.optional if name in ranges}, where)


@torch.no_grad()
def try_out(network: ReIDNetwork) -> None:
    """Show a network with two classes two black pictures, as in training and in tests; its state is worthless then."""
    asked, told = network.preprocessing(), network.training_inputs()
    black = torch.zeros(2, 3, asked.height, asked.width)
    bodies = told.of(torch.zeros(2, 18, 3), black[:, 0], (asked.height, asked.width))
    rows = torch.tensor([0, 1])
    network.train().outputs(Inputs(black, torch.zeros_like(rows), pairs=rows[None], **bodies), rows)
    show_black(network.extractor())


@torch.no_grad()
def show_black(extractor: Extractor) -> None:
    """Show an extractor a black picture, as in tests and without anything else; it is left as it was."""
    modes = {module: module.training for module in extractor.modules()}
    extractor.eval()(torch.zeros(1, 3, extractor.height, extractor.width))
    for module, training in modes.items():
        module.training = training
