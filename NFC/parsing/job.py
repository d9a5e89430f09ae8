"""The job behind `pose2id train-parser`: from a config to the folder of a trained parser."""

from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch

from pose2id.files import replacing_in
from pose2id.loop.loop import Loop
from pose2id.loop.settings import LoopConfig
from pose2id.loop.state import named_settings
from pose2id.settings.ranges import COUNT, SEED, check_ranges

from ..datasets.synthetic.groups import read_groups
from ..networks.preprocessing import Preprocessing
from .network import ParserSizes, build_parser, save_parser
from .training import ParsingLoss, ParsingSampler


@dataclass
class TrainParserConfig:
    groups: str = "runs/groups"
    sizes: ParserSizes = field(default_factory=ParserSizes)
    loop: LoopConfig = field(default_factory=LoopConfig)
    held_out_seed: int = 3000  # the world of the quality; training used world 0
    held_out_people: int = 300

    def __post_init__(self) -> None:
        check_ranges(self, {"held_out_seed": SEED, "held_out_people": COUNT})


def train_parser(config: TrainParserConfig) -> Loop:
    """Train, or go on with, the parser that `config` describes; its folder is `parser` in `loop.output_dir` then.

    Returns the loop that was run. Raises `UserError` for whatever the user can repair.
    """
    sizes = config.sizes
    sampler = ParsingSampler(
        read_groups(Path(config.groups)), Preprocessing(sizes.height, sizes.width), config.loop.batch_size
    )
    torch.manual_seed(config.loop.seed)
    network = build_parser(sizes)

    def export(path: Path) -> None:
        with replacing_in(path / "parser") as hidden:
            save_parser(network, hidden)

    fixed = named_settings("sizes", asdict(sizes))
    loop = Loop(ParsingLoss(network.train()), sampler, export, config.loop, fixed=fixed)
    loop.run()
    return loop
