"""Score features with and without centralization: of a data set's pictures, or of files from any network.

pose2id evaluate --config configs/evaluate/market1501.yaml --root DIR --ablation --out results
pose2id evaluate --dataset sysu_mm01 --root DIR options.mode=indoor options.shots=10 --nfc both
pose2id evaluate --features query.npz gallery.npz --nfc both --save_features centralized

docs/evaluate.md explains every option.
"""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from pose2id.config import plain
from pose2id.errors import printable
from pose2id.settings.flags import parse_command

from ..evaluation import EvaluateConfig, evaluate
from ..report import terminal_table, write_report

TABLE_WIDTH = 160  # columns; a narrower terminal folds the lines, which loses less than cutting cells


def _checked(config: EvaluateConfig) -> EvaluateConfig:
    """As it is, once its rows are known to be possible, also for `--dry_run`."""
    config.rows()
    return config


def main(arguments: Sequence[str]) -> None:
    config = parse_command(EvaluateConfig, __doc__, arguments, resolve=_checked)
    if config is None:
        return
    config = config.resolved()
    scores, written = evaluate(config)
    console = Console()
    console.width = max(console.width, TABLE_WIDTH)
    if scores:  # only on the main process, and where there are labels
        if config.out:
            written += write_report(Path(config.out), scores, config.title, plain(config))
        console.print(terminal_table(scores, config.title))
    for path in written:
        print(f"wrote {printable(path)}")
