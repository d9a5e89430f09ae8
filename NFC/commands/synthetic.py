"""Write synthetic pedestrians to disk.

pose2id synthetic --layout market1501 --out data/synthetic/Market-1501 --seed 1000 --test_pids 50
pose2id synthetic --layout groups --out runs/groups --seed 0 --groups 12000

Layouts are those of the real data sets, `msmt17_v2` being the second version of MSMT17 and `custom` one's own folders
and table; `groups` is training material for the generator, the ReID network, the pose estimator and the parser.
With `--masks`, `masks/<split>/<picture>.png` holds the number of the body part at every pixel (docs/parsing.md),
and with `--keypoints` `keypoints.jsonl` the true points of every body, as `poses prepare` writes estimated ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from omegaconf import MISSING

from pose2id.errors import UserError
from pose2id.settings.flags import parse_command
from pose2id.settings.given import check_not_given
from pose2id.settings.ranges import SEED, SHARE, Range, check_ranges

from ..datasets.synthetic.groups import OCCLUDED, write_groups
from ..datasets.synthetic.layouts import LAYOUTS, write_layout

GROUPS = "groups"


@dataclass
class SyntheticConfig:
    layout: str = MISSING  # market1501, dukemtmc, ..., custom, or groups
    out: str = MISSING  # folder to write to
    seed: int = 1000  # the world; training used world 0
    train_pids: int = 0
    test_pids: int = 50
    shots: int | None = None  # pictures of a person by one camera; the layout's own
    groups: int = 12000
    occluded: float = OCCLUDED  # share of groups with something in front of the person in one of the pictures
    keypoints: bool = False  # also the points of every body, in keypoints.jsonl; groups always have them
    masks: bool = False  # also the body parts of every picture, in the folder masks; groups always have them
    workers: int | None = None  # processes; one a core

    def __post_init__(self) -> None:
        people = Range(0, 99_999)  # of a part of a world
        counts = {"train_pids": people, "test_pids": people, "shots": Range(1, 10_000), "groups": Range(1, 10**9)}
        check_ranges(self, {"seed": SEED, "workers": Range(1, 1024), "occluded": SHARE, **counts})


def main(arguments: Sequence[str]) -> None:
    config = parse_command(SyntheticConfig, __doc__, arguments, resolve=_checked)
    if config is None:
        return
    out = Path(config.out)
    if config.layout == GROUPS:
        write_groups(out, config.seed, config.groups, config.workers, config.occluded)
        print(f"wrote {config.groups} groups to {out}")
    else:
        options = {} if config.shots is None else {"shots": config.shots}
        pids = config.train_pids, config.test_pids
        count = write_layout(
            config.layout, out, config.seed, *pids, config.workers, config.masks, config.keypoints, **options
        )
        print(f"wrote {count} pictures to {out}")


def _checked(config: SyntheticConfig) -> SyntheticConfig:
    """As it is; `UserError` for an unknown layout, and for settings of others."""
    if config.layout not in (*LAYOUTS, GROUPS):
        raise UserError(f"unknown layout '{config.layout}'; choose one of: {', '.join((*LAYOUTS, GROUPS))}")
    if config.layout == GROUPS:
        check_not_given(config, ("train_pids", "test_pids", "shots"), "the layout of a data set")
    else:
        check_not_given(config, ("groups", "occluded"), f"layout={GROUPS}")
    return config
