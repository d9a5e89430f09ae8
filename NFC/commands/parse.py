"""The body part of every pixel of every picture of a data set, as label maps.

pose2id parse --dataset market1501 --root data/Market-1501 --out masks/Market-1501
pose2id parse --pictures pictures --out masks/pictures

`OUT/<path of the picture without suffix>.png` is an 8-bit PNG of the picture's size with Pascal-Person-Part's numbers:
0 background, 1 head, 2 torso, 3 upper arms, 4 lower arms, 5 upper legs, 6 lower legs. Running the command again after a
stop goes on where that was; pictures that cannot be read are named, and the exit code is then 1. docs/parsing.md tells
more.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import MISSING

from pose2id.devices import pick_device
from pose2id.errors import UserError, printable
from pose2id.pictures.below import pictures_below
from pose2id.processes.claims import keep_outside
from pose2id.settings.flags import parse_command
from pose2id.settings.given import check_not_given
from pose2id.settings.ranges import BATCH, check_ranges

from ..datasets import build_dataset
from ..parsing.label_maps import pictures_of, write_label_maps
from ..parsing.network import shipped_parser


@dataclass
class ParseConfig:
    out: str = MISSING  # folder to write to
    root: str | None = None  # folder of a data set: all of its splits
    dataset: str = "market1501"  # its layout
    options: dict[str, Any] = field(default_factory=dict)  # of the data set, such as options.mode=indoor
    generated: bool = False  # also the pictures that were generated from those of the data set
    pictures: str | None = None  # or any folder of pictures, with the folders in it
    weights: str | None = None  # folder that train-parser wrote; the one that is shipped
    batch_size: int = 32
    device: str | None = None  # a GPU if there is one

    def __post_init__(self) -> None:
        check_ranges(self, {"batch_size": BATCH})


def main(arguments: Sequence[str]) -> int | None:
    config = parse_command(ParseConfig, __doc__, arguments, resolve=_checked)
    if config is None:
        return None
    pictures, root = _pictures(config)
    weights = Path(config.weights) if config.weights else shipped_parser()
    device = str(pick_device(config.device))
    count, failures = write_label_maps(pictures, root, Path(config.out), weights, config.batch_size, device)
    print(f"wrote {count} label maps to {printable(config.out)}")
    if failures:
        print(f"{len(failures)} pictures could not be parsed:", *failures, sep="\n  ", file=sys.stderr)
    return 1 if failures else None


def _checked(config: ParseConfig) -> ParseConfig:
    """As it is; `UserError` for settings that do not go together."""
    if (config.root is None) == (config.pictures is None):
        raise UserError("name either root, a data set, or pictures, a folder of pictures")
    if config.pictures:
        check_not_given(config, ("generated", "dataset", "options"), "root, a data set")
    return config


def _pictures(config: ParseConfig) -> tuple[set[Path], Path]:
    """The pictures that are wanted, and the folder that their maps are named below."""
    if config.root:
        dataset = build_dataset(config.dataset, config.root, **config.options)
        return pictures_of(dataset, config.generated), dataset.root
    folder = Path(config.pictures or "")
    keep_outside(Path(config.out), folder)
    return set(pictures_below(folder)), folder
