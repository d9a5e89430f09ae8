"""`pose2id partial-queries`: a data set with partial queries, read and scored by every other command."""

import json

from NFC.datasets.synthetic.layouts import write_layout
from tests.commands import here


def test_partial_queries_are_evaluated(tmp_path, mini_weights, capsys):
    market, out = tmp_path / "market", tmp_path / "partial"
    write_layout("market1501", market, seed=1, train_pids=0, test_pids=2, workers=1, shots=1)
    words = ["partial-queries", "--root", market, "--out", out, "--kind", "upper"]
    assert here(*words) == 0
    assert f"wrote market1501 with upper queries; evaluate it with --root {out}" in capsys.readouterr().out
    weights = ["--weights", mini_weights / "transformer_20.safetensors", "--preset", "mini", "--device", "cpu"]
    assert here("evaluate", "--root", out, *weights, "--out", tmp_path / "results") == 0
    assert json.loads((tmp_path / "results/results.json").read_text())
    assert here(*words, "--seed", -1) == 2 and here(*words, "--kind", "lower") == 2 and here(*words, "--seed", 3) == 2
    told = capsys.readouterr().err
    assert "seed is -1" in told and "kind is 'lower'" in told and "made with other settings" in told


def test_unreadable_queries_are_named_and_the_rest_is_done(tmp_path, capsys):
    market, out = tmp_path / "market", tmp_path / "partial"
    write_layout("market1501", market, seed=1, train_pids=0, test_pids=2, workers=1, shots=1)
    broken, *others = sorted((market / "query").iterdir())
    broken.write_bytes(b"no picture")
    words = ["partial-queries", "--root", market, "--out", out]
    assert here(*words) == 1
    assert f"cannot read picture {broken}" in capsys.readouterr().err
    assert sorted(path.name for path in (out / "query").iterdir()) == [path.name for path in others]
    broken.write_bytes(others[0].read_bytes())
    assert here(*words) == 0 and (out / "query" / broken.name).is_file()
