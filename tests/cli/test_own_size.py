"""`--own_size`: partial pictures keep their proportions from files to scores, on the command line."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from NFC.datasets.synthetic.layouts import write_layout
from NFC.networks.dsr import DSR
from NFC.networks.files import write_network
from pose2id.pictures import read_picture
from tests.commands import here
from tests.nfc.datasets.trees import TREES
from tests.nfc.features.test_workers import evaluate

COLUMNS = 8 * 4 + 7 * 3  # of a map of 8 x 4


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    network, path = DSR(DSR.preset_sizes("mini")), tmp_path_factory.mktemp("dsr") / "dsr.safetensors"
    write_network(network.to_official(network.state_dict()), "dsr", network.sizes, network.preprocessing(), path)
    return path


@pytest.fixture(scope="module")
def partial(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("market")
    write_layout("market1501", folder / "whole", seed=1, train_pids=0, test_pids=3, workers=1, shots=1)
    words = ["--root", folder / "whole", "--out", folder / "partial", "--kind", "band", "--own_size"]
    assert here("partial-queries", *words) == 0
    return folder / "partial"


def words(weights: Path, *more: object) -> list[object]:
    return ["--extractor", "dsr", "--weights", weights, "--device", "cpu", "--num_workers", 0, "--own_size", *more]


def test_partial_queries_are_evaluated(partial, weights, tmp_path, capsys):
    settings = words(weights, "--root", partial, "--features_dir", tmp_path / "kept")
    scored = ["--steps", "reconstruction:shortlist=4", "--batch_size", 3]
    assert here("evaluate", *settings, *scored, "--out", tmp_path / "a") == 0
    assert here("evaluate", *settings, *scored, "--out", tmp_path / "again") == 0
    first, again = (json.loads((tmp_path / name / "results.json").read_text()) for name in ("a", "again"))
    assert first["rows"] == again["rows"]
    kept = {name: load_file(tmp_path / f"kept/{name}.safetensors") for name in ("query", "gallery")}
    weighing = {name: (held["feats"][:, -COLUMNS:] > 0).sum(1) for name, held in kept.items()}
    assert weighing["gallery"].tolist() == [COLUMNS] * len(weighing["gallery"])
    heights = [read_picture(path).height for path in sorted((partial / "query").iterdir())]
    assert weighing["query"].tolist() == [-(-round(height / 2) // 8) * 7 - 3 for height in heights]
    assert max(heights) < 128 and len(set(heights)) > 1
    capsys.readouterr()
    assert here("evaluate", *[word for word in settings if word != "--own_size"]) == 2
    told = capsys.readouterr().err
    assert "holds other features (own_size true, not none)" in told and told.count("\n") == 1
    assert here("evaluate", *settings, "--flip") == 2 and "flip false, not true" in capsys.readouterr().err
    assert here("evaluate", *settings[:-1], tmp_path / "flipped", "--flip") == 0
    flipped = load_file(tmp_path / "flipped/query.safetensors")["feats"]
    assert torch.equal((flipped[:, -COLUMNS:] > 0).sum(1), weighing["query"])


def test_pictures_are_embedded(partial, weights, tmp_path):
    settings = words(weights, partial / "query", "--batch_size", 2)
    assert here("embed", *settings, "--out", tmp_path / "own.npz") == 0
    assert here("embed", *[word for word in settings if word != "--own_size"], "--out", tmp_path / "fixed.npz") == 0
    with np.load(tmp_path / "own.npz") as own, np.load(tmp_path / "fixed.npz") as fixed:
        assert own["columns"].tolist() == fixed["columns"].tolist() == [COLUMNS, 160]
        assert own["feats"].shape == fixed["feats"].shape and not np.allclose(own["feats"], fixed["feats"])


@pytest.mark.parametrize("name", ["partial_reid", "partial_ilids"])
def test_partial_data_sets_are_evaluated(name, weights, tmp_path):
    rng = np.random.default_rng(0)
    for path in TREES[name]:
        (tmp_path / name / path).parent.mkdir(parents=True, exist_ok=True)
        size = (60, 30) if path.startswith("whole") else (int(rng.integers(20, 60)), 30)
        Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(tmp_path / name / path)
    settings = words(weights, "--dataset", name, "--root", tmp_path / name, "--out", tmp_path / "out")
    assert here("evaluate", *settings, "--steps", "reconstruction") == 0
    assert 0 < json.loads((tmp_path / "out/results.json").read_text())["rows"][0]["mAP"] <= 1


def test_spawned_workers_read_the_same(partial, weights, tmp_path):
    (tmp_path / "market").symlink_to(partial)
    flags = ["--extractor", "dsr", "--weights", weights, "--own_size", "--batch_size", 2]
    done = evaluate(tmp_path, "spawn", *flags, "--num_workers", 1, "--features_dir", tmp_path / "spawn")
    assert done.returncode == 0 and "without workers" not in done.stderr, done.stderr
    settings = words(weights, "--root", partial, "--batch_size", 2)
    assert here("evaluate", *settings, "--features_dir", tmp_path / "here") == 0
    one, other = (load_file(tmp_path / folder / "query.safetensors") for folder in ("spawn", "here"))
    assert torch.equal(one["feats"], other["feats"])


def test_a_picture_too_flat_and_a_network_of_one_size_are_one_line(partial, mini_weights, tmp_path, capsys):
    torch.manual_seed(0)
    network = DSR(DSR.Sizes(**{**DSR.mini, "windows": [3, 4]}))
    path = tmp_path / "dsr.safetensors"
    write_network(network.to_official(network.state_dict()), "dsr", network.sizes, network.preprocessing(), path)
    Image.new("RGB", (64, 20)).save(tmp_path / "flat.png")
    assert here("embed", *words(path, tmp_path / "flat.png", "--out", tmp_path / "f.npz")) == 2
    told = capsys.readouterr().err
    assert f"picture {tmp_path}/flat.png is too flat: 32 pixels wide it is 10 high, and the network needs 17" in told
    assert told.count("error:") == 1 and not (tmp_path / "f.npz").exists()
    other = ["--weights", mini_weights / "transformer_20.safetensors", "--preset", "mini", "--device", "cpu"]
    for command in (["evaluate", "--root", partial], ["embed", partial / "query", "--out", tmp_path / "f.npz"]):
        assert here(*command, *other, "--own_size") == 2
        assert "the network takes pictures of one size; leave out own_size, or use dsr" in capsys.readouterr().err
