"""Score a data set with and without feature centralization.

python evaluate.py --config configs/evaluate/market1501.yaml --root DIR --ablation --out results
"""

import argparse
import json
from dataclasses import dataclass, fields
from pathlib import Path

from omegaconf import OmegaConf
from rich.console import Console

from NFC.config import load_config
from NFC.datasets import build_dataset
from NFC.errors import UserError, run_command
from NFC.extractors import build_extractor
from NFC.features import pick_device
from NFC.protocol import Centralization, MissingGenerated, Side, ablation_rows, evaluate_rows
from NFC.report import terminal_table, write_report


@dataclass
class EvaluateConfig:
    """Every option of this script; each is a flag, a key of the YAML file and a key=value override."""

    dataset: str = "market1501"
    root: str | None = None  # folder of the data set; needed
    extractor: str = "transreid"
    preset: str = "sd15"
    weights: str | None = None  # extractor weights; by default the preset's own
    ipg: Side = Side.none  # none, gallery, query or both
    nfc: Side = Side.none
    eta: float = 1.0
    reduction: str = "sum"
    k1: int = 2
    k2: int = 2
    poses: int = 8
    missing_generated: MissingGenerated = MissingGenerated.error  # or original: the picture stands in for itself
    ablation: bool = False  # the four rows Base, +NFC, +IPG, +NFC+IPG instead of one row with ipg and nfc
    batch_size: int = 64
    num_workers: int = 2
    device: str | None = None  # by default a GPU if there is one
    out: str | None = None  # folder for results.json and results.md


def parse_arguments() -> tuple[EvaluateConfig, bool]:
    """The resolved config and whether this is a dry run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", help="YAML file with any of the options below")
    parser.add_argument("--dry_run", action="store_true", help="print the resolved config and stop")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="options, after the flags")
    for option in fields(EvaluateConfig):
        if option.type is bool:
            parser.add_argument(f"--{option.name}", action="store_const", const="true")
        else:
            parser.add_argument(f"--{option.name}")
    arguments = parser.parse_args()
    given = {option.name: getattr(arguments, option.name) for option in fields(EvaluateConfig)}
    flags = [f"{name}={json.dumps(value)}" for name, value in given.items() if value is not None]
    return load_config(EvaluateConfig, arguments.config, [*flags, *arguments.overrides]), arguments.dry_run


def evaluate(config: EvaluateConfig) -> None:
    if config.root is None:
        raise UserError("no data set folder; give --root DIR")
    device = pick_device(config.device)
    settings = Centralization(config.ipg, config.nfc, config.eta, config.reduction, config.k1, config.k2)
    rows = ablation_rows(settings) if config.ablation else {f"ipg {config.ipg.value}, nfc {config.nfc.value}": settings}
    dataset = build_dataset(config.dataset, config.root)
    scores = evaluate_rows(
        dataset,
        build_extractor(config.extractor, config.weights, config.preset, device),
        rows,
        poses=config.poses,
        missing=config.missing_generated,
        batch_size=config.batch_size,
        device=device,
        num_workers=config.num_workers,
    )
    title = f"{config.dataset}, {config.extractor} ({config.preset})"
    console = Console()
    console.print(terminal_table(scores, title))
    if config.out:
        for path in write_report(Path(config.out), scores, title, resolved(config)):
            console.print(f"wrote {path}")


def resolved(config: EvaluateConfig) -> dict[str, object]:
    """The config as plain values, the way a YAML file would hold them."""
    return OmegaConf.to_container(OmegaConf.structured(config), enum_to_str=True)


def main() -> None:
    config, dry_run = parse_arguments()
    if dry_run:
        print(OmegaConf.to_yaml(resolved(config)).rstrip())
    else:
        evaluate(config)


if __name__ == "__main__":
    run_command(main)
