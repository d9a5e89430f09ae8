"""Which patterns never go together on one person, learned from training features of sets, for the matcher `jaccard`.

pose2id conflicts train.npz --out conflicts.safetensors --lambda_value 0.001
pose2id evaluate --extractor mos ... --steps jaccard:conflict=conflicts.safetensors

The file of features is one that `pose2id evaluate --features` reads, with `feats` of at least 0 and `pids`. The result
belongs to the network that they are from.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from omegaconf import MISSING

from pose2id.errors import UserError, printable
from pose2id.settings.flags import parse_command
from pose2id.settings.ranges import Range, check_ranges

from ..features.imported import read_split
from ..matching.conflicts import Conflicts, conflicts_of, write_conflicts


@dataclass
class ConflictsConfig:
    features: list[str] = field(default_factory=list)  # one file of training features with pids
    out: str = MISSING  # *.safetensors
    eps: float = Conflicts.eps  # how much more than any training person shows is no conflict yet
    lambda_value: float = Conflicts.lambda_value  # weight of the penalty beside 1 - J; choose it on validation people

    def __post_init__(self) -> None:
        check_ranges(self, {"eps": Range(0, 1e3), "lambda_value": Range(0, 1e6)})


def main(arguments: Sequence[str]) -> None:
    config = parse_command(ConflictsConfig, __doc__, arguments, positional="features")
    if config is not None:
        print(f"wrote {printable(learn(config))}")


def learn(config: ConflictsConfig) -> Path:
    """Write the file and return its path; `UserError`, before anything is written, for what cannot be."""
    if len(config.features) != 1:
        raise UserError(f"name one file of training features; got {len(config.features)}")
    out = Path(config.out)
    if out.suffix != ".safetensors":
        raise UserError(f"out '{out}' must end in .safetensors")
    training = read_split("gallery", config.features[0])
    write_conflicts(conflicts_of(training.feats.flatten(), training.pids, config.eps, config.lambda_value), out)
    return out
