"""Features of pictures, into a file: the shortest way from pictures to numbers.

pose2id embed PICTURES --out features.npz
pose2id embed query gallery/0001.jpg --extractor timm:resnet50 --out features.npz

PICTURES are files or folders, which are searched with all their sub-folders, but for links to folders. The file holds
`feats` (N, d) float32, as the network gives them, and `paths` (N,), in the order of their names. For features of
another kind than plain vectors it has an entry of the kind's name with its sizes. Running the command again after a
stop goes on where that was. Pictures that cannot be read are named, and no file is written.
"""

import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import MISSING

from pose2id.devices import pick_device, this_process
from pose2id.errors import UserError, printable
from pose2id.files import replacing
from pose2id.pictures.below import named_pictures
from pose2id.presets import default_directory
from pose2id.processes.locks import locked
from pose2id.settings.flags import parse_command
from pose2id.settings.ranges import BATCH, WORKERS, check_ranges
from pose2id.weights import find_weights

from ..features.extraction import Precision, extract_shards
from ..features.files import describe_network, describe_pictures, through_parts
from ..networks import build_extractor

logger = logging.getLogger(__name__)


@dataclass
class EmbedConfig:
    pictures: list[str] = field(default_factory=list)  # files, or folders with all below them
    out: str = MISSING  # *.npz
    extractor: str = "transreid"
    preset: str | None = None  # sd15 where its weights are at hand, else mini
    weights: str | None = None  # of the extractor; the preset's own
    picture_size: list[int] | None = None  # height and width, if others than usual and the file does not say them
    precision: Precision = Precision.float32  # or bfloat16, float16
    flip: bool = False  # mean of the features of a picture and of its mirror image
    own_size: bool = False  # pictures keep their proportions, for networks that take them so (dsr)
    batch_size: int = 64
    num_workers: int = 2
    device: str | None = None  # a GPU if there is one

    def __post_init__(self) -> None:
        check_ranges(self, {"batch_size": BATCH, "num_workers": WORKERS})


def main(arguments: Sequence[str]) -> None:
    config = parse_command(EmbedConfig, __doc__, arguments, positional="pictures")
    if config is not None:
        embed(config)


def embed(config: EmbedConfig) -> Path:
    """Write the file and return its path; `UserError` for whatever the user can repair, before anything is written."""
    out = Path(config.out)
    if out.suffix != ".npz":
        raise UserError(f"out '{out}' must end in .npz")
    paths = named_pictures(config.pictures)
    if not paths:
        raise UserError("no pictures to embed: name files, or folders that hold some")
    device = pick_device(config.device)
    preset = config.preset or _preset_at_hand(config)
    extractor = build_extractor(config.extractor, config.weights, preset, device, config.picture_size)
    if config.own_size:
        extractor.use_own_size()
    network = describe_network(config.extractor, extractor, config.precision, config.flip)
    origin = describe_pictures(network, "", Path(), paths, None)
    extract = partial(
        extract_shards,
        extractor,
        paths,
        None,
        batch_size=config.batch_size,
        num_workers=config.num_workers,
        device=device,
        precision=config.precision,
        flip=config.flip,
    )
    parts = out.with_name(f"{out.name}.parts")  # goes when the file is there
    writes = this_process().is_main_process
    with locked(parts, here=writes):
        feats = torch.cat(list(through_parts(parts, origin, extract)))
        if writes:
            layout = extractor.layout
            sizes: dict[str, Any] = {layout.kind: np.array(layout.sizes)} if layout.sizes else {}
            with replacing(out) as partial_file, partial_file.open("wb") as file:
                np.savez(file, feats=feats.numpy(), paths=np.array([str(path) for path in paths]), **sizes)
            shutil.rmtree(parts, ignore_errors=True)
            print(f"wrote {len(paths)} features of {feats.shape[1]} numbers to {printable(out)}")
    return out


def _preset_at_hand(config: EmbedConfig) -> str:
    """The official preset where its weights lie in their place, else the small one, which is said."""
    if config.weights or config.extractor != "transreid":
        return "sd15"
    try:
        find_weights(default_directory("sd15"), "transformer_20")
    except UserError:
        logger.warning(
            "no official weights in %s: taking the small network of the mini preset, which knows synthetic people "
            "only; `pose2id download` fetches the official ones",
            default_directory("sd15"),
        )
        return "mini"
    return "sd15"
