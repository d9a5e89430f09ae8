"""Curves of training runs, side by side: what their losses.jsonl say.

pose2id plot-losses "generator=runs/ipg" "TransReID=runs/reid" --out docs/mini_curves.svg
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from omegaconf import MISSING

from pose2id.errors import UserError
from pose2id.loop.log import LOSSES_FILE, read_losses
from pose2id.reading.files import require_file
from pose2id.settings.flags import parse_command

from ..report.plots import loss_plot, save_figure

SMOOTHED = 1 / 50  # share of a run whose values a point is the mean of


@dataclass
class PlotConfig:
    runs: dict[str, str] = field(default_factory=dict)  # name=folder: a run's name and its output_dir
    metric: str = "loss"
    out: str = MISSING  # *.svg or *.png


def main(arguments: Sequence[str]) -> None:
    own = [word if word.startswith("-") or "=" not in word else f"--runs={word}" for word in arguments]
    config = parse_command(PlotConfig, __doc__, own)
    if config is None:
        return
    if not config.runs:
        raise UserError("name a run: name=folder, the folder being its output_dir")
    curves = {name: read_curve(Path(folder) / LOSSES_FILE, config.metric) for name, folder in config.runs.items()}
    save_figure(Path(config.out), loss_plot(curves, config.metric))


def read_curve(path: Path, metric: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps and running means of `metric`; `UserError` where there are none."""
    require_file(path, "", "give name=folder, the folder being a run's output_dir")
    lines = [line for _, line in read_losses(path)]
    points = [(line["step"], line[metric]) for line in lines if metric in line]
    if not points:
        raise UserError(f"{path} has no '{metric}'; it has: {', '.join(lines[-1]) if lines else 'nothing'}")
    steps, values = np.array(points).T
    size = max(1, round(SMOOTHED * len(values)))
    return steps[size - 1 :], np.convolve(values, np.ones(size) / size, mode="valid")
