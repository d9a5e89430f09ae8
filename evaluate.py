"""Score features with and without centralization: of a data set's pictures, or of files from any network.

python evaluate.py --config configs/evaluate/market1501.yaml --root DIR --ablation --out results
python evaluate.py --dataset sysu_mm01 --root DIR options.mode=indoor options.shots=10 --nfc both
python evaluate.py --features query.npz gallery.npz --nfc both --save_features centralized

docs/evaluate.md explains every option.
"""

import sys
from pathlib import Path

from rich.console import Console

from NFC.evaluation import EvaluateConfig, evaluate
from NFC.report import terminal_table, write_report
from pose2id.config import plain
from pose2id.errors import printable, run_command
from pose2id.flags import parse_command

TABLE_WIDTH = 160  # columns; a narrower terminal folds the lines, which loses less than cutting cells


def main() -> None:
    config = parse_command(EvaluateConfig, __doc__, sys.argv[1:])
    if config is None:
        return
    scores, written = evaluate(config)
    if scores:  # the main process
        if config.out:
            written += write_report(Path(config.out), scores, config.title, plain(config))
        console = Console()
        console.width = max(console.width, TABLE_WIDTH)
        console.print(terminal_table(scores, config.title))
        for path in written:
            console.print(f"wrote {printable(path)}", soft_wrap=True, markup=False, highlight=False)


if __name__ == "__main__":
    run_command(main)
