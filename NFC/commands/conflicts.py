"""Which patterns never go together on one person, learned from training features of sets, for the matcher `jaccard`.

pose2id conflicts --dataset market1501 --root DIR --extractor mos --weights mos.safetensors --out conflicts.safetensors
pose2id conflicts train.npz --out conflicts.safetensors --lambda_value 0.001
pose2id evaluate --extractor mos ... --steps jaccard:conflict=conflicts.safetensors,lambda_value=0.001

Features are those of a data set's training split, which are extracted as `pose2id evaluate` does it, or those of a file
that `pose2id evaluate --features` reads, with `feats` of at least 0 and `pids`; it needs no camids. The result belongs
to the network that they are from.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import MISSING

from pose2id.devices import pick_device, this_process
from pose2id.errors import UserError, printable
from pose2id.settings.flags import parse_command
from pose2id.settings.ranges import BATCH, WORKERS, Range, check_ranges

from ..datasets import build_dataset, training_records
from ..features.extraction import Precision
from ..features.feature_set import FeatureSet
from ..features.imported import read_split
from ..features.kinds import SetFeatures
from ..features.of_dataset import extract_split
from ..matching.conflicts import Conflicts, conflicts_of, write_conflicts
from ..networks import build_extractor


@dataclass
class ConflictsConfig:
    features: list[str] = field(default_factory=list)  # one file of training features with pids
    out: str = MISSING  # *.safetensors
    eps: float = Conflicts.eps  # how much more than any training person shows is no conflict yet
    lambda_value: float = Conflicts.lambda_value  # weight of the penalty beside 1 - J; choose it on validation people
    root: str | None = None  # or the folder of a data set: its training split
    dataset: str = "market1501"  # its layout
    options: dict[str, Any] = field(default_factory=dict)  # of the data set, such as options.split=1
    extractor: str = "mos"
    preset: str = "sd15"
    weights: str | None = None  # of the extractor; the preset's own
    precision: Precision = Precision.float32  # or bfloat16, float16
    flip: bool = False  # mean of the features of a picture and of its mirror image
    batch_size: int = 64
    num_workers: int = 2
    device: str | None = None  # a GPU if there is one

    def __post_init__(self) -> None:
        check_ranges(self, {"eps": Range(0, 1e3), "lambda_value": Range(0, 1e6)})
        check_ranges(self, {"batch_size": BATCH, "num_workers": WORKERS})


def main(arguments: Sequence[str]) -> None:
    config = parse_command(ConflictsConfig, __doc__, arguments, positional="features")
    if config is not None:
        path = learn(config)
        if this_process().is_main_process:
            print(f"wrote {printable(path)}")


def learn(config: ConflictsConfig) -> Path:
    """Write the file and return its path; `UserError`, before anything is written, for what cannot be.

    Under `accelerate launch` only the main process writes; the others help to extract.
    """
    out = Path(config.out)
    if out.suffix != ".safetensors":
        raise UserError(f"out '{out}' must end in .safetensors")
    if (config.root is None) == (not config.features):
        raise UserError("name either one file of training features, or root, a data set to extract them from")
    training = _imported(config.features) if config.root is None else _extracted(config, config.root)
    if this_process().is_main_process:
        write_conflicts(conflicts_of(training.feats.flatten(), training.pids, config.eps, config.lambda_value), out)
    return out


def _imported(files: Sequence[str]) -> FeatureSet:
    if len(files) != 1:
        raise UserError(f"name one file of training features; got {len(files)}")
    return read_split("gallery", files[0], cameras=False)


def _extracted(config: ConflictsConfig, root: str) -> FeatureSet:
    """Features of the training split of the data set at `root`; `UserError` for a network that gives no sets."""
    device = pick_device(config.device)
    dataset = build_dataset(config.dataset, root, **config.options)
    training_records(dataset)
    extractor = build_extractor(config.extractor, config.weights, config.preset, device)
    if (kind := extractor.layout.kind) != SetFeatures.kind:
        raise UserError(f"{config.extractor} gives {kind}, and conflicts are of sets; use a network such as mos")
    return extract_split(
        dataset,
        "train",
        extractor,
        batch_size=config.batch_size,
        num_workers=config.num_workers,
        device=device,
        precision=config.precision,
        flip=config.flip,
    )
