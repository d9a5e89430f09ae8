"""Train the small parser of the mini preset on groups of synthetic pedestrians.

pose2id train-parser [key=value ...]

A run that was stopped goes on when the same command is run again. `loop.output_dir` gets the folder `parser`, which
`pose2id parse --weights` reads. Ends with its quality on people of a world that training never saw, also written to
quality.json.
"""

import json
from collections.abc import Sequence

from pose2id.files import write_text
from pose2id.resources import CONFIGS
from pose2id.settings.flags import parse_command

from ..parsing.job import TrainParserConfig, train_parser
from ..parsing.network import Parser
from ..parsing.quality import quality_on_world


def main(arguments: Sequence[str]) -> None:
    config = parse_command(TrainParserConfig, __doc__, arguments, CONFIGS / "parsing" / "train_mini.yaml")
    if config is None:
        return
    loop = train_parser(config)
    if loop.accelerator.is_main_process:
        parser = Parser(loop.path / "parser", loop.accelerator.device)
        quality = quality_on_world(parser, config.held_out_seed, config.held_out_people)
        write_text(loop.path / "quality.json", json.dumps(quality, indent=1) + "\n")
        for name, shares in quality.items():
            print(f"{name}:", ", ".join(f"{part} {share:.1%}" for part, share in shares.items()))
