"""Train a TransReID on a data set, or on groups of synthetic pedestrians.

python scripts/train_reid.py [--config configs/train/reid.yaml] [key=value ...]
accelerate launch scripts/train_reid.py --config configs/train/reid_market1501.yaml data.dataset_dir=DIR

`loop.output_dir` gets `transformer_20.safetensors`, which build_extractor("transreid") and evaluate.py read, and the
state from which the same command goes on after a stop.
"""

import argparse
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from NFC.training.augmentation import AugmentationConfig
from NFC.training.data import Batches, DataConfig, read_training_set
from NFC.training.network import NetworkConfig, build_network, export, network_sizes
from NFC.training.objective import LossConfig, ReIDObjective
from NFC.training.validation import Validation, ValidationConfig
from pose2id.config import load_config
from pose2id.errors import run_command
from pose2id.loop.loop import Loop
from pose2id.loop.settings import LoopConfig
from pose2id.loop.state import named_settings

DATA_FIXED = ("generated_ratio", "poses", "pictures_per_person")  # what a run may not change on its way


@dataclass
class ReIDTrainConfig:
    """Every setting; each is a key of the YAML file and a key=value override."""

    network: NetworkConfig = field(default_factory=NetworkConfig)
    data: DataConfig = field(default_factory=DataConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    losses: LossConfig = field(default_factory=LossConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    loop: LoopConfig = field(default_factory=LoopConfig)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="configs/train/reid.yaml")
    parser.add_argument("overrides", nargs="*", help="key=value")
    args = parser.parse_intermixed_args()
    config = load_config(ReIDTrainConfig, args.config, args.overrides)

    sizes = network_sizes(config.network.preset)
    pictures = read_training_set(config.data, sizes.height, sizes.width)
    batches = Batches(pictures, config.data, config.augmentation, config.loop.batch_size)
    network = build_network(config.network, pictures, config.loop.seed)
    validate = None
    if config.loop.validate_every:
        validate = Validation(network, sizes, config.validation, config.data)
    objective = ReIDObjective(network, config.losses)
    fixed = (
        named_settings("losses", asdict(config.losses))
        | named_settings("augmentation", asdict(config.augmentation))
        | named_settings("data", {name: getattr(config.data, name) for name in DATA_FIXED})
        | {"number of pictures": len(pictures.pictures)}
    )

    def write(folder: Path) -> None:
        export(network, config.network.preset, folder)

    Loop(objective, batches, write, config.loop, validate, fixed).run()


if __name__ == "__main__":
    run_command(main)
