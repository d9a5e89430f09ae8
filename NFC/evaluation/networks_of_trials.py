"""One network a trial, for benchmarks whose training people are others in each: `--weights runs/regdb_{trial}.pth`."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pose2id.errors import UserError

from ..datasets import DATASETS
from ..scoring.scores import Scores
from .config import EvaluateConfig


def networks_of_trials(config: EvaluateConfig) -> list[EvaluateConfig]:
    """A config for each trial, whose option's name stands in braces in `weights`; else the config alone.

    Of a data set with an option `trial` or `split` that is "all" there is one for each of its other choices. Kept
    features and centralized ones then lie in a folder for each trial. `UserError` for a page, which shows one network.
    """
    options = DATASETS[config.dataset].options if config.dataset in DATASETS and config.root else {}
    name = next((name for name in options if f"{{{name}}}" in (config.weights or "")), None)
    if name is None:
        return [config]
    everything, *numbers = options[name]
    chosen = config.options.get(name, everything)
    if str(chosen) != str(everything):
        return [_of_trial(config, name, chosen, None)]
    if config.page:
        raise UserError(f"page shows the queries of one network, and weights name one for each {name}; leave out page")
    return [_of_trial(config, name, number, f"{name}{number}") for number in numbers]


def _of_trial(config: EvaluateConfig, name: str, choice: str | int, folder: str | None) -> EvaluateConfig:
    def own(place: str | None) -> str | None:
        return str(Path(place) / folder) if place and folder else place

    return replace(
        config,
        weights=str(config.weights).replace(f"{{{name}}}", str(choice)),
        options=config.options | {name: choice},
        features_dir=own(config.features_dir),
        save_features=own(config.save_features),
    )


def joined(results: Sequence[Sequence[Scores]]) -> list[Scores]:
    """The rows of several trials, (trials, rows), as rows of all of these trials."""
    return [
        replace(
            rows[0],
            rankings=tuple(ranking for row in rows for ranking in row.rankings),
            densities=tuple(density for row in rows for density in row.densities),
            recalls=tuple(recall for row in rows for recall in row.recalls),
        )
        for rows in zip(*results, strict=True)
    ]
