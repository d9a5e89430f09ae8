"""Write a data set once more, in its own layout, with partial or loose queries; the gallery stays.

pose2id partial-queries --dataset market1501 --root DIR --out partial/market1501
pose2id partial-queries --dataset occluded_duke --root DIR --out loose/occluded_duke --kind loose --seed 1
pose2id evaluate --dataset market1501 --root partial/market1501

Kinds: partial (a band of 60 to 90 % of the height, as AlignedReID++'s), band (55 to 80 %), upper (the top 55 to 80 %),
loose (20 to 45 % more, edge rows repeated). Parts are stretched back to the picture's size, or keep their own. Give the
options of the data set that it will be evaluated with: they say which pictures are queries. Running the command again
after a stop goes on where that was; pictures that cannot be read are named, and the exit code is then 1.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import MISSING

from pose2id.errors import printable
from pose2id.settings.flags import parse_command
from pose2id.settings.ranges import SEED, check_ranges

from ..datasets.partial_queries import place_of, write_partial_queries


@dataclass
class PartialQueriesConfig:
    root: str = MISSING  # folder of the data set
    out: str = MISSING  # folder to write to
    dataset: str = "market1501"
    options: dict[str, Any] = field(default_factory=dict)  # of the data set, such as options.mode=indoor
    kind: str = "partial"  # or band, upper, loose
    seed: int = 0
    own_size: bool = False  # parts stay as high as they are (DSR), and are not stretched back (AlignedReID++)

    def __post_init__(self) -> None:
        check_ranges(self, {"seed": SEED})


def main(arguments: Sequence[str]) -> int | None:
    config = parse_command(PartialQueriesConfig, __doc__, arguments)
    if config is None:
        return None
    root, out = Path(config.root), Path(config.out)
    failures = write_partial_queries(
        config.dataset, root, out, config.kind, config.seed, config.own_size, **config.options
    )
    for failure in failures:
        print(f"error: {failure}", file=sys.stderr)
    print(
        f"wrote {config.dataset} with {config.kind} queries; evaluate it with --root {printable(place_of(root, out))}"
    )
    return 1 if failures else None
