"""Every benchmark's protocol against a naive reference."""

import random
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch

from NFC import evaluate_ranking
from NFC.datasets import build_dataset
from NFC.datasets.synthetic.layouts import write_layout
from tests.nfc.scoring.naive import (
    Picture,
    Trials,
    naive_market,
    naive_msmt17,
    naive_occluded,
    naive_p_ethz,
    naive_partial,
    naive_partial_single,
    naive_regdb,
    naive_sysu,
    naive_table,
    naive_viper,
)

MAX_RANK = 12
WORLDS = {
    "market1501": {"train_pids": 1, "test_pids": 5, "shots": 2, "distractors": 0.3},
    "dukemtmc": {"train_pids": 1, "test_pids": 4, "shots": 2},
    "occluded_duke": {"train_pids": 1, "test_pids": 4, "shots": 2},
    "msmt17": {"train_pids": 1, "test_pids": 4, "shots": 3},
    "msmt17_v2": {"train_pids": 1, "test_pids": 4, "shots": 3},
    "sysu_mm01": {"train_pids": 1, "test_pids": 4, "shots": 11},
    "regdb": {"train_pids": 4, "test_pids": 4, "shots": 3},
    "occluded_reid": {"train_pids": 0, "test_pids": 4, "shots": 3},
    "p_dukemtmc": {"train_pids": 1, "test_pids": 4, "shots": 3},
    "p_ethz": {"train_pids": 3, "test_pids": 4, "shots": 2},
    "partial_reid": {"train_pids": 0, "test_pids": 4, "shots": 3},
    "partial_ilids": {"train_pids": 0, "test_pids": 5},
    "cuhk03": {"train_pids": 1, "test_pids": 4, "shots": 2},
    "viper": {"train_pids": 3, "test_pids": 4},
    "custom": {"train_pids": 1, "test_pids": 4, "shots": 3},
}


@pytest.fixture(scope="session")
def world_of(tmp_path_factory) -> Callable[[str], Path]:
    """The folder of a layout's tiny world, written once."""
    roots: dict[str, Path] = {}

    def write(layout: str) -> Path:
        if layout not in roots:
            roots[layout] = tmp_path_factory.mktemp(layout)
            write_layout(layout, roots[layout], seed=3, workers=1, **WORLDS[layout])
        return roots[layout]

    return write


def same_person_and_camera(query: Picture, item: Picture) -> bool:
    return query.pid == item.pid and query.camera == item.camera


def camera_two_for_camera_three(query: Picture, item: Picture) -> bool:
    return query.camera == "3" and item.camera == "2"


def never(query: Picture, item: Picture) -> bool:
    return False


def naive_scores(trial, features: dict[str, np.ndarray], excluded, identities: bool):
    """mAP, mINP, CMC and the number of valid queries of one trial."""
    queries, gallery = trial
    precisions, penalties, hits = [], [], []
    for query in queries:
        distance = {item: float(((features[query.path] - features[item.path]) ** 2).sum()) for item in gallery}
        ranked = sorted((item for item in gallery if not excluded(query, item)), key=distance.get)
        right = [item.pid == query.pid for item in ranked]
        if True not in right:
            continue
        ranks = [rank for rank, true in enumerate(right, start=1) if true]
        precisions.append(sum(number / rank for number, rank in enumerate(ranks, start=1)) / len(ranks))
        penalties.append(len(ranks) / ranks[-1])
        if identities:
            people = []
            for item in ranked:
                if item.pid not in people:
                    people.append(item.pid)
            hits.append(people.index(query.pid) + 1)
        else:
            hits.append(ranks[0])
    cmc = [sum(hit <= rank for hit in hits) / len(hits) for rank in range(1, MAX_RANK + 1)]
    return sum(precisions) / len(precisions), sum(penalties) / len(penalties), cmc, len(hits)


def random_features(paths: list[str]) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {path: rng.standard_normal(3) for path in sorted(paths)}


CASES = {
    "market1501": ("market1501", {}, naive_market, same_person_and_camera),
    "dukemtmc": ("dukemtmc", {}, naive_market, same_person_and_camera),
    "occluded_duke": ("occluded_duke", {}, naive_market, same_person_and_camera),
    "msmt17 V1": ("msmt17", {}, partial(naive_msmt17, folder="test"), same_person_and_camera),
    "msmt17 V2": ("msmt17_v2", {}, partial(naive_msmt17, folder="mask_test_v2"), same_person_and_camera),
    "occluded_reid": ("occluded_reid", {}, naive_occluded, never),
    "p_dukemtmc": ("p_dukemtmc", {}, partial(naive_occluded, parent="test/"), never),
    "p_ethz": ("p_ethz", {}, partial(naive_p_ethz, splits=range(1, 11)), never),
    "p_ethz 3": ("p_ethz", {"split": 3}, partial(naive_p_ethz, splits=[3]), never),
    "partial_reid": ("partial_reid", {}, naive_partial, never),
    "partial_reid single": ("partial_reid", {"protocol": "single"}, partial(naive_partial_single, shots=3), never),
    "partial_ilids": ("partial_ilids", {}, naive_partial, never),
    "cuhk03": ("cuhk03", {}, partial(naive_market, parent="detected/"), same_person_and_camera),
    "cuhk03 labeled": ("cuhk03", {"form": "labeled"}, partial(naive_market, parent="labeled/"), same_person_and_camera),
    "viper": ("viper", {}, partial(naive_viper, splits=range(1, 11)), never),
    "viper 3": ("viper", {"split": 3}, partial(naive_viper, splits=[3]), never),
    "custom folders": ("custom", {}, partial(naive_table, cameras=False), never),
}
for mode, shots, draw in product(("all", "indoor"), (1, 10), ("random", "official")):
    options = {"mode": mode, "shots": shots, "draw": draw}
    naive = partial(naive_sysu, **options)
    CASES[f"sysu_mm01 {mode} {shots} {draw}"] = "sysu_mm01", options, naive, camera_two_for_camera_three
for direction, trial in product(("visible_to_thermal", "thermal_to_visible"), ("all", 7)):
    naive = partial(naive_regdb, direction=direction, numbers=range(1, 11) if trial == "all" else [7])
    CASES[f"regdb {direction} {trial}"] = "regdb", {"direction": direction, "trial": trial}, naive, never


def assert_protocol(dataset, root: Path, trials: Trials, excluded) -> None:
    """The data set's trials hold the same pictures as the naive ones and score the same."""
    paths = [record.path.relative_to(root).as_posix() for record in (*dataset.query, *dataset.gallery)]
    features = random_features(paths)
    draws = [(trial.query, trial.gallery) for trial in dataset.trials]
    draws = draws or [(range(len(dataset.query)), range(len(dataset.gallery)))]
    assert len(draws) == len(trials)
    for (query_places, gallery_places), expected in zip(draws, trials, strict=True):
        query, gallery = [dataset.query[i] for i in query_places], [dataset.gallery[i] for i in gallery_places]
        names = [sorted(r.path.relative_to(root).as_posix() for r in side) for side in (query, gallery)]
        assert names == [sorted(picture.path for picture in side) for side in expected]
        result = evaluate_ranking(
            *(np.stack([features[r.path.relative_to(root).as_posix()] for r in side]) for side in (query, gallery)),
            *([r.pid for r in side] for side in (query, gallery)),
            *([r.camid for r in side] for side in (query, gallery)),
            max_rank=MAX_RANK,
            exclude=dataset.exclude,
            cmc=dataset.cmc,
        )
        mean_precision, penalty, cmc, valid = naive_scores(expected, features, excluded, dataset.cmc == "identities")
        assert result.valid_queries.sum() == valid
        assert result.mAP == pytest.approx(mean_precision, rel=1e-9)
        assert result.mINP == pytest.approx(penalty, rel=1e-9)
        np.testing.assert_allclose(result.cmc, cmc, rtol=1e-9)


@pytest.mark.parametrize("case", CASES)
def test_protocol_equals_naive(case, world_of):
    layout, options, naive, excluded = CASES[case]
    root = world_of(layout)
    dataset = build_dataset(layout.removesuffix("_v2"), root, **options)
    assert dataset.cmc == ("identities" if layout == "sysu_mm01" else "pictures")
    assert_protocol(dataset, root, naive(root), excluded)


def test_a_custom_table_excludes_the_same_camera(world_of):
    root = world_of("custom")
    dataset = build_dataset("custom", root / "dataset.csv")
    assert_protocol(dataset, root, naive_table(root, cameras=True), same_person_and_camera)


# The odd rules, said once more by number


def test_sysu_indoor_queries_may_find_nobody(world_of):
    """Of people whom no indoor camera but 3 saw there are queries, and for camera 3 only camera 1 is searched."""
    dataset = build_dataset("sysu_mm01", world_of("sysu_mm01"), mode="indoor")
    assert {r.camid for r in dataset.query} == {2, 5} and {r.camid for r in dataset.gallery} == {0, 1}
    assert {r.pid for r in dataset.query} == {2, 3, 4, 5} and {r.pid for r in dataset.gallery} == {3, 5}
    assert all(len(trial.query) == len(dataset.query) for trial in dataset.trials)
    labels = [
        torch.tensor([getattr(record, key) for record in side])
        for side in (dataset.query, dataset.gallery)
        for key in ("pid", "camid")
    ]
    hidden = [[query == 2 and item == 1 for item in labels[3]] for query in labels[1]]
    assert dataset.exclude(*labels).tolist() == hidden


@pytest.mark.parametrize(("mode", "pairs"), [("all", 11), ("indoor", 4)])
@pytest.mark.parametrize("shots", [1, 10])
def test_sysu_galleries_hold_each_person_and_camera(world_of, mode, pairs, shots):
    """People 3 and 5 were seen by cameras 1, 2, 4 and 5, person 2 by 4 and 5, person 4 by 5."""
    dataset = build_dataset("sysu_mm01", world_of("sysu_mm01"), mode=mode, shots=shots)
    assert [len(trial.gallery) for trial in dataset.trials] == [pairs * shots] * 10
    assert len({tuple(trial.gallery) for trial in dataset.trials}) > 5


def test_sysu_draws_differ_and_do_not_touch_the_global_seed(world_of):
    random.seed(99)
    before = random.getstate()
    draws = [build_dataset("sysu_mm01", world_of("sysu_mm01"), draw=draw) for draw in ("random", "official", "random")]
    assert random.getstate() == before
    galleries = [[[d.gallery[i].path for i in trial.gallery] for trial in d.trials] for d in draws]
    assert galleries[0] == galleries[2] != galleries[1]


def test_regdb_trains_on_the_people_of_one_trial(world_of):
    root = world_of("regdb")
    assert not build_dataset("regdb", root).train
    for trial in (1, "2"):
        dataset = build_dataset("regdb", root, trial=trial)
        train, test = ({r.pid for r in side} for side in (dataset.train, dataset.query))
        assert len(dataset.trials) == 1 and len(train) == len(test) == 4 and not train & test
        assert {r.camid for r in dataset.train} == {0, 1}
