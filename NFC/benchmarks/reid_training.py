"""What a short training is worth: mAP of every small network before and after, among people it was not trained on.

pose2id bench reid-training [--only pmt kpr] [--groups 1500] [--people 24] [--out DIR] [key=value ...]

Trains each of configs/train/reid/*.yaml on synthetic groups and scores it, and the same network with its random
weights, on a synthetic Market1501 of another world. key=value are settings of the training. What is there is not made
again, so the command can be stopped and given again.
"""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from pose2id.config import load_config
from pose2id.errors import UserError
from pose2id.resources import CONFIGS
from pose2id.settings.flags import parse_command

from ..datasets.synthetic.groups import write_groups
from ..datasets.synthetic.layouts import write_layout
from ..networks import build_extractor
from ..training.data import DataConfig, read_training_set
from ..training.job import ReIDTrainConfig, train
from ..training.network import build_network, described
from ..training.validation import Validation, ValidationConfig, score_extractor

RECIPES = CONFIGS / "train" / "reid"
TRAINED, UNSEEN = 0, 1000  # seeds of the two worlds


def before_and_after(config: ReIDTrainConfig, market: Path) -> tuple[float, float, float]:
    """mAP of the random network and of the file that training it writes, and the minutes that training took."""
    asked = described(config.network)
    pictures = read_training_set(config.data, asked.preprocessing(), asked.training_inputs())
    network = build_network(config.network, pictures.num_labels, pictures, config.loop.seed)
    validation = Validation(network, ValidationConfig("market1501", str(market)), DataConfig())
    before = validation(Path(), 0)["mAP"]
    started = time.monotonic()
    train(config)
    minutes = (time.monotonic() - started) / 60
    (weights,) = Path(config.loop.output_dir).glob("*.safetensors")
    extractor = build_extractor(config.network.name, weights, config.network.preset)
    return before, score_extractor(extractor, validation.dataset)["mAP"], minutes


@dataclass
class BenchConfig:
    overrides: list[str] = field(default_factory=list)  # key=value, of every run
    only: list[str] | None = None  # names of configs; all
    groups: int = 1500
    people: int = 24  # in query and gallery
    out: str = "runs/bench_reid"


def main(arguments: Sequence[str]) -> None:
    args = parse_command(BenchConfig, __doc__, arguments, positional="overrides", foreign=True)
    if args is None:
        return
    names = sorted(path.stem for path in RECIPES.glob("*.yaml"))
    if unknown := set(args.only or ()) - set(names):
        raise UserError(f"no config '{min(unknown)}'; choose among: {', '.join(names)}")
    groups, market = Path(args.out) / f"groups_{args.groups}", Path(args.out) / f"market_{args.people}"
    if not (groups / "groups.json").is_file():
        write_groups(groups, TRAINED, args.groups)
    if not market.is_dir():
        write_layout("market1501", market, seed=UNSEEN, train_pids=1, test_pids=args.people)
    table = Table("network", "mAP, random", "mAP, trained", "steps", "minutes")
    for name in args.only or names:
        places = [f"data.groups={groups}", f"loop.output_dir={Path(args.out) / name}"]
        config = load_config(ReIDTrainConfig, RECIPES / f"{name}.yaml", [*places, *args.overrides])
        before, after, minutes = before_and_after(config, market)
        steps = config.loop.max_train_steps
        print(f"{name}: mAP {before:.4f} -> {after:.4f}", file=sys.stderr)
        table.add_row(name, f"{before * 100:.1f}", f"{after * 100:.1f}", str(steps), f"{minutes:.1f}")
    Console().print(table)
