"""The job itself: every stage once, from the config to scores and files."""

import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from pose2id.devices import pick_device, this_process

from ..chain import Chain
from ..datasets import build_dataset, check
from ..features.feature_set import FeatureSet
from ..report.score_page import write_score_page
from ..scoring.protocol import Protocol
from ..scoring.ranking import NoTrueMatch
from ..scoring.scores import Scores, score_rows
from .config import EvaluateConfig
from .features import find_features
from .networks_of_trials import joined, networks_of_trials
from .saved import save_centralized

logger = logging.getLogger(__name__)


def evaluate(config: EvaluateConfig) -> tuple[list[Scores], list[Path]]:
    """Score every row, write the page and centralized features where wanted; returns the scores and what was written.

    Where the name of the weights has a trial in braces, each trial has its own network, see `networks_of_trials`.
    Centralized features are written without scores where there are no labels, or nobody is in both sets.
    Under `accelerate launch` only the main process scores; the others help to extract and return nothing.
    Raises `UserError` for whatever the user can repair, before anything is written.
    """
    results = [_evaluate(part) for part in networks_of_trials(config)]
    return joined([scores for scores, _ in results]), [path for _, written in results for path in written]


def _evaluate(config: EvaluateConfig) -> tuple[list[Scores], list[Path]]:
    """What `evaluate` does, with one network."""
    rows: Mapping[str, Chain] = config.rows()
    device = pick_device(config.device)
    dataset = build_dataset(config.dataset, config.root, **config.options) if config.root else None
    if dataset and this_process().is_main_process:
        for line in check(dataset):
            logger.warning("%s", line)
    nobody = frozenset() if config.distractor is None else frozenset({config.distractor})
    protocol = Protocol.of(dataset) if dataset else Protocol(distractors=nobody)
    sets, rows = find_features(config, dataset, rows, device)
    if not this_process().is_main_process:
        return [], []
    query, gallery = (features.to(device) for features in sets)
    _warn_of_distractor(config.distractor, query, gallery)
    scores, written = _score(config, query, gallery, rows, protocol), []
    if config.page and scores and dataset:
        written.append(write_score_page(Path(config.page), config.title, scores, dataset, query, gallery))
    if config.save_features:
        (chain,) = rows.values()
        written.append(save_centralized(Path(config.save_features), query, gallery, chain, protocol))
    return scores, written


def _warn_of_distractor(pid: int | None, query: FeatureSet, gallery: FeatureSet) -> None:
    """Say where the pid that shall show nobody is somebody's, or nobody has it."""
    if pid is None or query.pids is None or gallery.pids is None:
        return
    if not (gallery.pids == pid).any():
        logger.warning("distractor %d: no row of the gallery has this pid", pid)
    if looking := int((query.pids == pid).sum()):
        whole = f"{looking:,} of {len(query.pids):,}"
        logger.warning("distractor %d: %s queries have this pid, and are ranked like any other", pid, whole)


def _score(
    config: EvaluateConfig, query: FeatureSet, gallery: FeatureSet, rows: Mapping[str, Chain], protocol: Protocol
) -> list[Scores]:
    """The scores of all rows; none, which is logged, of what cannot be scored but is to be saved."""
    if query.pids is None or gallery.pids is None:
        logger.warning("the features have no labels: they are centralized, and nothing is scored")
        return []
    try:
        scores = score_rows(query, gallery, rows, protocol)
    except NoTrueMatch as error:
        if not config.save_features:
            raise
        logger.warning("nothing is scored: %s", error)
        return []
    valid = np.concatenate([ranking.valid_queries for ranking in scores[0].rankings])
    if not valid.all():
        trials = f" of {len(scores[0].rankings)} trials" if len(scores[0].rankings) > 1 else ""
        logger.warning(
            "%s of %s queries%s have no true match in the gallery and are left out of the means",
            f"{np.count_nonzero(~valid):,}",
            f"{len(valid):,}",
            trials,
        )
    return scores
