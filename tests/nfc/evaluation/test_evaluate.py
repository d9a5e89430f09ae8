"""evaluate.py from the command line to its files, with a real extractor of random weights, and its errors."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from NFC.datasets.synthetic.layouts import write_layout
from tests.commands import ROOT, here
from tests.nfc.toy import write_generated, write_market


@pytest.fixture
def market(tmp_path: Path) -> Path:
    return write_market(tmp_path / "market")


def test_ablation_writes_the_table(market, tmp_path, mini_weights, capsys):
    write_generated(market, poses=2)
    out = tmp_path / "out"
    weights = mini_weights / "transformer_20.safetensors"
    flags = ["--root", market, "--preset", "mini", "--weights", weights, "--out", out, "--num_workers", 0]
    assert here("evaluate", *flags, "--poses", 2, "--ablation", "--device", "cpu") == 0
    results = json.loads((out / "results.json").read_text())
    assert [row["name"] for row in results["rows"]] == ["Base", "+NFC", "+IPG", "+NFC+IPG"]
    assert all(0 <= row["mAP"] <= 1 and row["valid_queries"] == 3 for row in results["rows"])
    assert results["config"]["poses"] == 2
    base = f"| Base | {100 * results['rows'][0]['mAP']:.2f} |"
    assert base in (out / "results.md").read_text()
    assert {"results.json", "results.md"} <= {path.name for path in out.iterdir()}
    assert "+NFC+IPG" in capsys.readouterr().out


def test_a_report_says_how_trials_were_drawn(tmp_path, mini_weights):
    """With all options of the data set, also those that nobody gave."""
    write_layout("viper", tmp_path / "viper", seed=1, train_pids=0, test_pids=4, workers=1)
    weights = mini_weights / "transformer_20.safetensors"
    flags = ["--dataset", "viper", "--root", tmp_path / "viper", "--preset", "mini", "--weights", weights]
    assert here("evaluate", *flags, "--out", tmp_path / "out", "--num_workers", 0) == 0
    results = json.loads((tmp_path / "out/results.json").read_text())
    assert results["config"]["options"] == {"split": "all"}
    assert results["title"] == "viper, split=all, transreid (mini)"


def test_dry_run_prints_the_resolved_config(capsys):
    config = ROOT / "configs" / "evaluate" / "market1501.yaml"
    flags = ["--root", "12 #x", "--ipg", "query", "--rerank", "--options", "mode=indoor", "--features", "q", "g"]
    assert here("evaluate", "--config", config, *flags, "--dry_run", "k1=7", "options.shots=10", "rerank_k1=9") == 0
    shown = yaml.safe_load(capsys.readouterr().out)
    expected = {"root": "12 #x", "ipg": "query", "nfc": "both", "k1": 7, "device": None, "rerank": True}
    expected |= {"options": {"mode": "indoor", "shots": 10}, "features": ["q", "g"], "rerank_k1": 9}
    assert expected.items() <= shown.items()


NEVER_USED = [
    (["--steps", "nfc", "k1=3"], "k1=3 goes with --nfc, which is not among the rows; write --nfc both, or nfc:k1=3 in"),
    (["k2=3", "nfc=none"], "k2=3 goes with --nfc"),
    (["--eta", "5"], "eta=5.0 goes with --ipg, which is not among the rows; write --ipg both, or generated:eta=5.0 in"),
    (["--nfc", "both", "--reduction", "mean"], "reduction=mean goes with --ipg"),
    (
        ["--rerank_k1", "3"],
        "rerank_k1=3 goes with --rerank, which is not among the rows; write --rerank, or k_reciproc",
    ),
    (["--ablation", "rerank_lambda=0.1"], "rerank_lambda=0.1 goes with --rerank, which is not among the rows"),
    (
        ["--alpha", "9"],
        "alpha=9.0 goes with --expansion, which is not among the rows; write --expansion 5, or query_ex",
    ),
    (["numbers.ncf=[{k1: 3}]"], "numbers: 'ncf' is unknown; choose one of: generated, nfc"),
    (
        ["numbers.nfc=[{when: 3, k1: 3}]"],
        "numbers.nfc: when is 3; it must hold options of the data set, such as {mode: a",
    ),
    (["--distractor", "3"], "distractor is for feature files alone: a data set knows its own; leave out distractor"),
]


@pytest.mark.parametrize(("arguments", "message"), NEVER_USED)
def test_numbers_that_no_row_has_are_refused(arguments, message, capsys):
    for dry in ([], ["--dry_run"]):
        assert here("evaluate", "--root", "nowhere", *arguments, *dry) == 2
        shown = capsys.readouterr()
        assert shown.err.startswith(f"error: {message}") and shown.err.count("\n") == 1 and shown.out == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ["--nfc", "query", "k1=3"],
        ["--ablation", "--eta", "5", "k2=3"],
        ["--steps", "nfc", "k1=2"],  # the default cannot be told from what was not given
        ["--expansion", "3", "--alpha", "9"],
        ["--rerank", "rerank_k1=3", "rerank_lambda=0.1"],
        *(["--config", str(path)] for path in sorted((ROOT / "configs/evaluate").glob("*.yaml"))),
    ],
    ids=" ".join,
)
def test_numbers_that_a_row_has_are_taken(arguments, capsys):
    assert here("evaluate", "--root", "nowhere", *arguments, "--dry_run") == 0


@pytest.mark.parametrize("word", ["--steps ncf", "--steps nfc:k3=2", "steps=[k_reciprocal,affinity]", "steps=nfc"])
def test_a_dry_run_refuses_what_a_run_refuses(word, capsys):
    told = []
    for dry in ([], ["--dry_run"]):
        assert here("evaluate", "--root", "nowhere", *word.split(), *dry) == 2
        told.append(capsys.readouterr().err)
    assert told[0] == told[1] and "steps" in told[0] and told[0].count("\n") == 1


@pytest.mark.parametrize(
    ("distractor", "told"),
    [(0, []), (99, ["no row of the gallery has this pid"]), (2, ["1 of 2 queries have this pid"])],
)
def test_a_distractor_that_is_none_is_told(tmp_path, caplog, distractor, told):
    for camid, (name, pids) in enumerate({"q": [1, 2], "g": [1, 2, 0, 1]}.items()):
        feats = np.random.default_rng(0).normal(size=(len(pids), 6)).astype(np.float32)
        np.savez(tmp_path / f"{name}.npz", feats=feats, pids=pids, camids=[camid] * len(pids))
    files = [tmp_path / "q.npz", tmp_path / "g.npz"]
    assert here("evaluate", "--features", *files, "--distractor", distractor, "--device", "cpu") == 0
    lines = [line for line in caplog.messages if line.startswith("distractor")]
    assert len(lines) == len(told) and all(part in line for part, line in zip(told, lines, strict=True))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give --root DIR"),
        (["--root", "nowhere"], "nowhere does not exist"),
        (["--root", "nowhere", "--dataset", "x"], "unknown data set 'x'"),
        (["--root", "nowhere", "--ipg", "x"], "ipg is 'x'; it must be one of: none, gallery"),
        (["--root", "nowhere", "--k1", "0"], "k1 is 0; it must be from 1"),
        (["--root", "nowhere", "--ablation", "--save_features", "x"], "one row"),
        (["--root", "nowhere", "--precision", "int8"], "float16"),
        (["--root", ".", "--options", "mode=indoor"], "has no option 'mode'"),
        (["--features", "q.npz", "g.npz"], "q.npz does not exist"),
        (["features=[q.npz]"], "two files"),
        (["--root", "nowhere", "kk=1"], "kk"),
        (["--root", "nowhere", "--config", "missing.yaml"], "missing.yaml does not exist"),
        (["--root", "nowhere", "--device", "x"], "device 'x'"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(arguments, message, capsys):
    assert here("evaluate", *arguments) == 2
    error = capsys.readouterr().err.strip()
    assert message in error
    assert len(error.splitlines()) == 1
