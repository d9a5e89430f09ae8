"""Features in, centralized features out: with labels or without, as of a private gallery.

pose2id centralize gallery.npz --out centralized.npz
pose2id centralize query.npz gallery.npz --steps nfc:k1=4 --out centralized

Files are those that `pose2id evaluate --features` reads; pids and camids may be missing. One file is centralized as a
gallery, two as query and gallery, each by itself. --out is an .npz file for one, a folder for two, and holds `feats`,
of unit length, in the order of the rows that came in.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import MISSING

from pose2id.devices import pick_device
from pose2id.errors import UserError, printable
from pose2id.settings.flags import parse_command

from ..chain import Chain
from ..evaluation.saved import write_centralized
from ..features.imported import read_features, read_split
from ..methods import build_methods
from ..steps import SPLITS, NeighbourCentralization, OneSetStep


@dataclass
class CentralizeConfig:
    features: list[str] = field(default_factory=list)  # one file, or two: query and gallery
    out: str = MISSING  # an .npz file for one, a folder for two
    steps: list[Any] = field(default_factory=lambda: [NeighbourCentralization.name])  # nfc, nfc:k1=4, generated ...
    device: str | None = None  # a GPU if there is one


def main(arguments: Sequence[str]) -> None:
    config = parse_command(CentralizeConfig, __doc__, arguments, positional="features", resolve=_checked)
    if config is not None:
        for path in centralize(config):
            print(f"wrote {printable(path)}")


def _checked(config: CentralizeConfig) -> CentralizeConfig:
    """As it is, once its steps are known to be possible, also for `--dry_run`."""
    _chain(config)
    return config


def centralize(config: CentralizeConfig) -> list[Path]:
    """Write the files and return their paths; `UserError`, before anything is written, for what cannot be."""
    chain, out = _chain(config), Path(config.out)
    match config.features:
        case [single]:
            if out.suffix != ".npz":
                raise UserError(f"out '{out}' must end in .npz for one file of features")
            sets, places = [read_split("gallery", single, labelled=False)], {"gallery": out}
        case [_, _]:
            sets = list(read_features(config.features, labelled=False))
            places = {split: out / f"{split}.npz" for split in SPLITS}
        case _:
            raise UserError(f"name one file of features, or two: query and gallery; got {len(config.features)}")
    device = pick_device(config.device)
    refined = [chain.centralize(features.to(device), split) for features, split in zip(sets, places, strict=True)]
    return [write_centralized(path, features) for path, features in zip(places.values(), refined, strict=True)]


def _chain(config: CentralizeConfig) -> Chain:
    """The steps; `UserError` for one that looks at two sets, or at none of those there are."""
    chain = Chain.of(*build_methods(config.steps))
    splits = ("gallery",) if len(config.features) == 1 else SPLITS
    for step in chain.methods:
        if not isinstance(step, OneSetStep):
            raise UserError(
                f"{step.name} compares two sets; steps here refine each by itself, such as nfc and generated"
            )
        if not any(step.on.covers(split) for split in splits):
            sets = "one file, which counts as a gallery" if len(splits) == 1 else "query and gallery"
            raise UserError(f"{step.name}:on={step.on.value} does nothing to {sets}; leave out on, or the step")
    return chain
