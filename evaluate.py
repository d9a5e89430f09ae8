"""Score features with and without centralization: of a data set's pictures, or of files from any network.

python evaluate.py --config configs/evaluate/market1501.yaml --root DIR --ablation --out results
python evaluate.py --dataset sysu_mm01 --root DIR options.mode=indoor options.shots=10 --nfc both
python evaluate.py --features query.npz gallery.npz --nfc both --save_features centralized

docs/evaluate.md explains every option.
"""

import argparse
import json
from dataclasses import fields
from pathlib import Path

from omegaconf import OmegaConf
from rich.console import Console

from NFC.evaluation import EvaluateConfig, evaluate
from NFC.report import terminal_table, write_report
from pose2id.config import load_config
from pose2id.errors import run_command

TABLE_WIDTH = 160  # columns; a narrower terminal folds the lines, which loses less than cutting cells


def parse_arguments() -> tuple[EvaluateConfig, bool]:
    """The resolved config and whether this is a dry run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", help="YAML file with any of the options below")
    parser.add_argument("--dry_run", action="store_true", help="print the resolved config and stop")
    parser.add_argument("overrides", nargs="*", default=[], metavar="key=value", help="options, after or among flags")
    for option in fields(EvaluateConfig):
        if option.type is bool:
            parser.add_argument(f"--{option.name}", action="store_const", const=True)
        elif option.name in ("features", "labels"):
            parser.add_argument(f"--{option.name}", nargs=2, metavar=("QUERY", "GALLERY"))
        elif option.name == "steps":
            parser.add_argument("--steps", nargs="+", metavar="METHOD", help="nfc, nfc:on=gallery,k1=4, k_reciprocal ...")
        elif option.name == "options":
            parser.add_argument("--options", action="append", metavar="key=value", help="again for each option")
        else:
            parser.add_argument(f"--{option.name}")
    arguments = parser.parse_intermixed_args()
    given = {option.name: getattr(arguments, option.name) for option in fields(EvaluateConfig)}
    dataset_options = [f"options.{item}" for item in given.pop("options") or ()]
    flags = [f"{name}={json.dumps(value)}" for name, value in given.items() if value is not None]
    overrides = [*flags, *dataset_options, *arguments.overrides]
    return load_config(EvaluateConfig, arguments.config, overrides), arguments.dry_run


def resolved(config: EvaluateConfig) -> dict[str, object]:
    """The config as plain values, the way a YAML file would hold them."""
    return OmegaConf.to_container(OmegaConf.structured(config), enum_to_str=True)


def main() -> None:
    config, dry_run = parse_arguments()
    if dry_run:
        print(OmegaConf.to_yaml(resolved(config)).rstrip())
        return
    scores, written = evaluate(config)
    if scores:  # the main process
        if config.out:
            written += write_report(Path(config.out), scores, config.title, resolved(config))
        console = Console()
        console.width = max(console.width, TABLE_WIDTH)
        console.print(terminal_table(scores, config.title))
        for path in written:
            console.print(f"wrote {path}", soft_wrap=True)


if __name__ == "__main__":
    run_command(main)
