"""Train a ReID network on a data set, or on groups of synthetic pedestrians.

python scripts/train_reid.py [--config configs/train/reid.yaml] [key=value ...]
python scripts/train_reid.py --config configs/train/reid/pmt.yaml
accelerate launch scripts/train_reid.py --config configs/train/reid_market1501.yaml data.dataset_dir=DIR

`loop.output_dir` gets the network's file, `transformer_20.safetensors` of TransReID and `<name>.safetensors` of others,
which build_extractor and evaluate.py read, and the state from which the same command goes on after a stop.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from NFC.training.job import ReIDTrainConfig, train
from pose2id.config import load_config
from pose2id.errors import run_command


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="configs/train/reid.yaml")
    parser.add_argument("overrides", nargs="*", help="key=value")
    args = parser.parse_intermixed_args()
    train(load_config(ReIDTrainConfig, args.config, args.overrides))


if __name__ == "__main__":
    run_command(main)
