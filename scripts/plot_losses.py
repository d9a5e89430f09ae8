"""Curves of training runs, side by side: what their losses.jsonl say.

python scripts/plot_losses.py "generator=runs/ipg" "TransReID=runs/reid" --out docs/mini_curves.svg
"""

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from NFC.report.plots import loss_plot, save_figure
from pose2id.errors import UserError, run_command
from pose2id.loop.log import LOSSES_FILE

SMOOTHED = 1 / 50  # share of a run whose values a point is the mean of


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", metavar="name=folder", help="a run's name and its output_dir")
    parser.add_argument("--metric", default="loss")
    parser.add_argument("--out", type=Path, required=True, help="*.svg or *.png")
    args = parser.parse_args()
    curves = {}
    for run in args.runs:
        name, _, folder = run.partition("=")
        curves[name] = read_curve(Path(folder) / LOSSES_FILE, args.metric)
    save_figure(args.out, loss_plot(curves, args.metric))


def read_curve(path: Path, metric: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps and running means of `metric`; `UserError` where there are none."""
    if not path.is_file():
        raise UserError(f"{path} does not exist: give name=folder, the folder being a run's output_dir")
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    points = [(line["step"], line[metric]) for line in lines if metric in line]
    if not points:
        raise UserError(f"{path} has no '{metric}'; it has: {', '.join(lines[-1]) if lines else 'nothing'}")
    steps, values = np.array(points).T
    size = max(1, round(SMOOTHED * len(values)))
    return steps[size - 1 :], np.convolve(values, np.ones(size) / size, mode="valid")


if __name__ == "__main__":
    run_command(main)
