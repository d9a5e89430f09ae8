"""Train a ReID network on a data set, or on groups of synthetic pedestrians.

pose2id train-reid [--config configs/train/reid.yaml] [key=value ...]
pose2id train-reid --config configs/train/reid/pmt.yaml
accelerate launch -m pose2id train-reid --config configs/train/reid_market1501.yaml data.dataset_dir=DIR

`loop.output_dir` gets the network's file, `transformer_20.safetensors` of TransReID and `<name>.safetensors` of others,
which build_extractor and `pose2id evaluate` read, and the state from which the same command goes on after a stop.
"""

from collections.abc import Sequence

from pose2id.resources import CONFIGS
from pose2id.settings.flags import parse_command

from ..training.job import ReIDTrainConfig, train


def main(arguments: Sequence[str]) -> None:
    config = parse_command(ReIDTrainConfig, __doc__, arguments, CONFIGS / "train" / "reid.yaml")
    if config is not None:
        train(config)
