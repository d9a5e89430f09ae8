"""One network a trial: each trial is scored with its own, and the row is the mean of them."""

import json
from shutil import copy

import numpy as np
import pytest

from NFC.chain import Chain
from NFC.datasets.synthetic.layouts import write_layout
from NFC.evaluation import EvaluateConfig, evaluate
from NFC.evaluation.networks_of_trials import joined, networks_of_trials
from NFC.scoring.recall import Recall
from NFC.scoring.scores import Scores
from NFC.steps import Side
from pose2id.errors import UserError
from tests.commands import here


def test_each_trial_has_its_own_network(tmp_path, mini_weights):
    root = tmp_path / "viper"
    write_layout("viper", root, seed=1, train_pids=0, test_pids=6, workers=1)
    for split in range(1, 11):
        copy(mini_weights / "transformer_20.safetensors", tmp_path / f"net{split}.safetensors")
    flags = ["--dataset", "viper", "--root", root, "--preset", "mini", "--num_workers", 0, "--nfc", "both"]
    places = ["--out", tmp_path / "out", "--features_dir", tmp_path / "kept"]
    assert here("evaluate", *flags, *places, "--weights", str(tmp_path / "net{split}.safetensors")) == 0
    results = json.loads((tmp_path / "out/results.json").read_text())
    assert results["rows"][0]["trials"] == 20 and results["config"]["options"] == {"split": "all"}
    assert {path.name for path in (tmp_path / "kept").iterdir()} == {f"split{number}" for number in range(1, 11)}
    alone = []
    for split in range(1, 11):
        config = EvaluateConfig("viper", str(root), {"split": split}, preset="mini", nfc=Side.both, num_workers=0)
        config.weights = str(tmp_path / f"net{split}.safetensors")
        ((row,), _) = evaluate(config)
        alone += [ranking.mAP for ranking in row.rankings]
    assert results["rows"][0]["mAP"] == pytest.approx(np.mean(alone), abs=1e-12) and len(alone) == 20


def test_rows_of_trials_are_joined_with_all_they_have():
    first, second = (Scores("row", Chain(), (n,), (n,), (Recall(n, 7),)) for n in (1.0, 2.0))
    (row,) = joined([[first], [second]])
    assert row == Scores("row", Chain(), (1.0, 2.0), (1.0, 2.0), (Recall(1.0, 7), Recall(2.0, 7)))
    assert row.recall == Recall(1.5, 7)


def test_which_trials_there_are():
    def named(**settings) -> list[tuple[str | None, dict]]:
        parts = networks_of_trials(EvaluateConfig("regdb", "somewhere", **settings))
        return [(part.weights, part.options) for part in parts]

    assert named(weights="a.pth") == [("a.pth", {})]
    assert named(weights="a{pid}.pth") == [("a{pid}.pth", {})]
    assert named(weights="{trial}/a{trial}.pth", options={"trial": "7"}) == [("7/a7.pth", {"trial": "7"})]
    every = named(weights="{trial}.pth", options={"direction": "thermal_to_visible"})
    assert every == [(f"{n}.pth", {"direction": "thermal_to_visible", "trial": n}) for n in range(1, 11)]
    with pytest.raises(UserError, match="page shows the queries of one network, and weights name one for each trial"):
        named(weights="{trial}.pth", page="page.html")
