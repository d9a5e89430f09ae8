"""What a short training is worth: mAP of every small network before and after, among people it was not trained on.

python scripts/bench_reid_training.py [--only pmt kpr] [--groups 1500] [--people 24] [--out DIR] [key=value ...]

Trains each of configs/train/reid/*.yaml on synthetic groups and scores it, and the same network with its random
weights, on a synthetic Market1501 of another world. key=value are settings of the training. What is there is not made
again, so the command can be stopped and given again.
"""

import argparse
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from rich.console import Console
from rich.table import Table

from NFC.datasets.synthetic.groups import write_groups
from NFC.datasets.synthetic.layouts import write_layout
from NFC.networks import build_extractor
from NFC.training.data import DataConfig, read_training_set
from NFC.training.job import ReIDTrainConfig, train
from NFC.training.network import build_network, preprocessing_of
from NFC.training.validation import Validation, ValidationConfig, score_extractor
from pose2id.config import load_config
from pose2id.errors import UserError, run_command

CONFIGS = ROOT / "configs/train/reid"
TRAINED, UNSEEN = 0, 1000  # seeds of the two worlds


def before_and_after(config: ReIDTrainConfig, market: Path) -> tuple[float, float, float]:
    """mAP of the random network and of the file that training it writes, and the minutes that training took."""
    pictures = read_training_set(config.data, preprocessing_of(config.network))
    network = build_network(config.network, pictures.num_labels, pictures, config.loop.seed)
    validation = Validation(network, ValidationConfig("market1501", str(market)), DataConfig())
    before = validation(Path(), 0)["mAP"]
    started = time.monotonic()
    train(config)
    minutes = (time.monotonic() - started) / 60
    (weights,) = Path(config.loop.output_dir).glob("*.safetensors")
    extractor = build_extractor(config.network.name, weights, config.network.preset)
    return before, score_extractor(extractor, validation.dataset)["mAP"], minutes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="names of configs; default: all")
    parser.add_argument("--groups", type=int, default=1500)
    parser.add_argument("--people", type=int, default=24, help="in query and gallery")
    parser.add_argument("--out", type=Path, default=Path("runs/bench_reid"))
    parser.add_argument("overrides", nargs="*", help="key=value")
    args = parser.parse_intermixed_args()
    names = sorted(path.stem for path in CONFIGS.glob("*.yaml"))
    if unknown := set(args.only or ()) - set(names):
        raise UserError(f"no config '{min(unknown)}'; choose among: {', '.join(names)}")
    groups, market = args.out / f"groups_{args.groups}", args.out / f"market_{args.people}"
    if not (groups / "groups.json").is_file():
        write_groups(groups, TRAINED, args.groups)
    if not market.is_dir():
        write_layout("market1501", market, seed=UNSEEN, train_pids=1, test_pids=args.people)
    table = Table("network", "mAP, random", "mAP, trained", "steps", "minutes")
    for name in args.only or names:
        places = [f"data.groups={groups}", f"loop.output_dir={args.out / name}"]
        config = load_config(ReIDTrainConfig, CONFIGS / f"{name}.yaml", [*places, *args.overrides])
        before, after, minutes = before_and_after(config, market)
        steps = config.loop.max_train_steps
        print(f"{name}: mAP {before:.4f} -> {after:.4f}", file=sys.stderr)
        table.add_row(name, f"{before * 100:.1f}", f"{after * 100:.1f}", str(steps), f"{minutes:.1f}")
    Console().print(table)


if __name__ == "__main__":
    run_command(main)
