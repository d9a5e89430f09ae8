"""Ranges of numbers outside of which they mean nothing, told in one line before anything is done."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import UserError


@dataclass(frozen=True)
class Range:
    """The numbers from `least` to `most`, both among them unless `above` says that `least` is not."""

    least: float
    most: float
    above: bool = False

    def __contains__(self, value: float) -> bool:
        return math.isfinite(value) and self.least <= value <= self.most and not (self.above and value == self.least)

    def __str__(self) -> str:
        return f"{'above' if self.above else 'from'} {_text(self.least)} to {_text(self.most)}"


COUNT = Range(1, 2**31 - 1)  # of what there has to be one of at least
OPTIONAL = Range(0, 2**31 - 1)  # 0 for none
SEED = Range(0, 2**63 - 1)
SHARE = Range(0, 1)
PIXELS = Range(1, 16384)  # along one side of a picture
BATCH = Range(1, 2**20)
WORKERS = Range(0, 1024)
POSES = Range(1, 1000)
RATE = Range(0, 1e3)  # learning rates and the like


def check_ranges(values: object, ranges: Mapping[str, Range], section: str = "") -> None:
    """`UserError` for the first attribute of `values` outside of its range; None, and lists with it, may be there.

    section: goes before the name, with a dot.
    """
    for name, allowed in ranges.items():
        for value in _numbers(getattr(values, name)):
            if value not in allowed:
                raise UserError(f"{section}{'.' if section else ''}{name} is {value}; it must be {allowed}")


def _numbers(value: Any) -> list[float]:
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def _text(number: float) -> str:
    return "2**63 - 1" if number == 2**63 - 1 else f"{number:g}" if abs(number) < 1e6 else f"{number:,}"
