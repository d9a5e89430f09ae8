"""What a network looked at in pictures: parts, masks, attention, boxes, paths, drawn over them.

pose2id explain PICTURE --extractor pcb_rpp --weights pcb_rpp.safetensors
pose2id explain query.jpg gallery.jpg --extractor idla --weights idla.safetensors --out runs/explained

PICTURES are files or folders, which are searched with all their sub-folders, but for links to folders. Writes
`<picture>.png` for each, a figure for each comparison of the first picture with another one where the network has
something to show of it, and the numbers, `explain.json`, into a folder that is empty or holds explanations. Pictures
that cannot be read are named, and the exit code is then 1.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pose2id.devices import pick_device
from pose2id.errors import UserError, printable
from pose2id.pictures.below import named_pictures
from pose2id.processes.claims import keep_outside
from pose2id.settings.flags import parse_command

from ..explain import write_explanations
from ..networks import build_extractor
from ..networks.body.extractor import tell
from ..networks.body.label_maps import Missing


@dataclass
class ExplainConfig:
    pictures: list[str] = field(default_factory=list)  # files, or folders with all below them
    extractor: str = "transreid"
    weights: str | None = None  # of the extractor; the preset's own
    preset: str = "sd15"
    keypoints: str | None = None  # folder of keypoint files, or a keypoints.jsonl
    parsing: str | None = None  # folder of label maps, for networks that take some; keypoints: drawn from these
    parsing_classes: str = "pascal"  # of these label maps: pascal, lip or atr
    missing_parsing: Missing = Missing.error  # or skip
    out: str = "runs/explained"  # folder to write to
    device: str | None = None  # a GPU if there is one


def main(arguments: Sequence[str]) -> int | None:
    config = parse_command(ExplainConfig, __doc__, arguments, positional="pictures")
    if config is None:
        return None
    written, failures = explain(config)
    print(f"wrote {printable(written)} and the pictures beside it")
    if failures:
        lines = map(printable, failures)
        print(f"{len(failures)} pictures could not be explained:", *lines, sep="\n  ", file=sys.stderr)
    return 1 if failures else None


def explain(config: ExplainConfig) -> tuple[Path, list[UserError]]:
    """Write the files; returns the path of the numbers, and an error for each picture that is left out.

    `UserError` for whatever the user can repair.
    """
    for folder in filter(Path.is_dir, map(Path, config.pictures)):
        keep_outside(Path(config.out), folder)
    paths = named_pictures(config.pictures)
    extractor = build_extractor(config.extractor, config.weights, config.preset, pick_device(config.device))
    tell(extractor, config)
    noted = ("extractor", "weights", "preset", "keypoints", "parsing")
    notes = {name: getattr(config, name) for name in noted}
    return write_explanations(extractor, paths, Path(config.out), notes)
