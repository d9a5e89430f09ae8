"""The real command line of evaluate.py: features in, table and centralized features out; two processes; mistakes."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn.functional import normalize

from NFC import ID2, NFC, evaluate_ranking
from NFC.evaluation import EvaluateConfig, evaluate
from tests.commands import ROOT, here, program
from tests.nfc.toy import write_market

PEOPLE = 6


def run(*arguments: object, launcher: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    return program(ROOT / "evaluate.py", *arguments, launcher=launcher)


def run_here(capsys: pytest.CaptureFixture, *arguments: object) -> tuple[int, str]:
    """Exit code and stderr of the command line, in this process."""
    return here("evaluate", *arguments), capsys.readouterr().err


def crowd(rows: int, seed: int) -> dict[str, np.ndarray]:
    pids = np.arange(rows) % PEOPLE
    centres = np.random.default_rng(7).normal(size=(PEOPLE, 16))[pids]
    feats = (centres + 1.5 * np.random.default_rng(seed).normal(size=(rows, 16))).astype(np.float32)
    return {"feats": feats, "pids": pids, "camids": np.arange(rows) // PEOPLE % 3}


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    paths = tmp_path / "query.npz", tmp_path / "gallery.npz"
    for seed, (path, rows) in enumerate(zip(paths, (24, 60), strict=True)):
        np.savez(path, **crowd(rows, seed))
    return paths


def test_features_in_table_and_centralized_features_out(files, tmp_path):
    result = run("--features", *files, "--nfc", "both", "--out", tmp_path / "out", "--save_features", tmp_path / "new")
    assert result.returncode == 0, result.stderr
    row = json.loads((tmp_path / "out/results.json").read_text())["rows"][0]
    query, gallery = crowd(24, 0), crowd(60, 1)

    def centralized(split):
        return normalize(NFC(normalize(torch.from_numpy(split["feats"]), dim=1)), dim=1)

    q, g = centralized(query), centralized(gallery)
    expected = evaluate_ranking(q, g, *(split[key] for key in ("pids", "camids") for split in (query, gallery)))
    assert row["mAP"] == pytest.approx(expected.mAP) and row["mINP"] == pytest.approx(expected.mINP)
    assert row["cmc"] == pytest.approx(expected.cmc.tolist())
    density = ID2(torch.cat([q, g]), np.concatenate([query["pids"], gallery["pids"]])).mean().item()
    assert row["ID2"] == pytest.approx(density)
    for name, feats, split in (("query", q, query), ("gallery", g, gallery)):
        with np.load(tmp_path / f"new/{name}.npz") as saved:
            np.testing.assert_allclose(saved["feats"], feats, atol=1e-6)
            np.testing.assert_array_equal(saved["pids"], split["pids"])
    saved = [str(tmp_path / "new" / path.name) for path in files]
    (again,), _ = evaluate(EvaluateConfig(features=saved, device="cpu"))
    assert again.mAP == pytest.approx(row["mAP"])


def test_two_processes_give_the_features_of_one(mini_weights, tmp_path):
    market = write_market(tmp_path / "market")
    settings = {"root": str(market), "preset": "mini", "weights": str(mini_weights / "transformer_20.safetensors")}
    settings |= {"num_workers": 0, "batch_size": 2, "device": "cpu"}
    launcher = ("-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1")
    launcher += ("--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0")
    flags = [f"{name}={value}" for name, value in settings.items()]
    result = run(*flags, "--features_dir", tmp_path / "two", launcher=launcher)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("mAP") == 1  # one table, however many processes
    assert "peer ranks" in result.stdout + result.stderr  # they found each other
    evaluate(EvaluateConfig(**settings, features_dir=str(tmp_path / "one")))
    for split in ("query", "gallery"):
        one, two = (load_file(tmp_path / f"{name}/{split}.safetensors") for name in ("one", "two"))
        assert one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


def test_bad_pictures_are_named(mini_weights, tmp_path, capsys):
    market = write_market(tmp_path / "market")
    settings = ["--root", market, "--preset", "mini", "--weights", mini_weights / "transformer_20.safetensors"]
    settings += ["--out", tmp_path / "out", "--device", "cpu", "--num_workers", 0]
    code, error = run_here(capsys, *settings, "--ipg", "both", "--poses", 1)
    assert code == 2 and "query_gen" in error and "is missing (and 2 more)" in error
    bad = market / "bounding_box_test" / "0001_c2s1_000000_00.jpg"
    shutil.copy(__file__, bad)
    code, error = run_here(capsys, *settings)
    assert code == 2 and f"error: cannot read picture {bad}" in error and "Traceback" not in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"pids": np.arange(59)}, "60 features but 59 pids"),
        ({"feats": np.full((60, 16), np.nan, np.float32)}, "60 of 60 rows hold NaN or infinity, the first is row 0"),
        ({"feats": np.zeros((60, 8), np.float32)}, "16 and 8"),
        ({"feats": np.zeros((0, 16), np.float32)}, "not empty"),
    ],
)
def test_bad_features_are_one_line_and_nothing_is_overwritten(files, tmp_path, change, told, capsys):
    out = tmp_path / "out"
    out.mkdir()
    (out / "results.json").write_text("old")
    np.savez(files[1], **(crowd(60, 1) | change))
    code, error = run_here(capsys, "--features", *files, "--out", out, "--save_features", out)
    assert code == 2
    assert len(error.splitlines()) == 1 and told in error and "gallery.npz" in error
    assert [path.name for path in out.iterdir()] == ["results.json"] and (out / "results.json").read_text() == "old"


def test_output_that_nobody_reads(files, tmp_path):
    """As with `| head`: no traceback, and the report is written all the same."""

    def run_unread(*arguments):
        command = [sys.executable, str(ROOT / "evaluate.py"), *map(str, arguments)]
        reading, writing = os.pipe()
        os.close(reading)
        result = subprocess.run(command, cwd=ROOT, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=300)
        os.close(writing)
        return result

    result = run_unread("--features", *files, "--out", tmp_path / "out")
    assert "Traceback" not in result.stderr and "BrokenPipe" not in result.stderr
    assert (tmp_path / "out/results.json").is_file()
    result = run_unread("--dry_run")
    assert result.returncode == 141 and result.stderr == ""
