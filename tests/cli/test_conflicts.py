"""`pose2id conflicts` through the command line: of a data set's training split and of a file, as documented."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch

from NFC.datasets import build_dataset
from NFC.datasets.synthetic.layouts import write_layout
from NFC.features.extraction import extract_features
from NFC.matching.conflicts import conflicts_of, read_conflicts
from NFC.networks import build_extractor
from NFC.networks.files import write_network
from NFC.networks.mos import MoS
from tests.commands import ROOT, here

SIDE = ("--num_workers", 0, "--device", "cpu")


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """`market` with a training split, and `ethz`, whose option `split` decides whether there is one."""
    folder = tmp_path_factory.mktemp("data")
    write_layout("market1501", folder / "market", seed=5, train_pids=3, test_pids=3, workers=1, shots=1)
    write_layout("p_ethz", folder / "ethz", seed=5, train_pids=0, test_pids=4, workers=1, shots=1)
    return folder


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    torch.manual_seed(0)
    network, path = MoS(MoS.preset_sizes("mini")), tmp_path_factory.mktemp("mos") / "mos.safetensors"
    write_network(network.state_dict(), network.name, network.sizes, network.preprocessing(), path)
    return path


def check(file: Path, features: torch.Tensor, pids: object, **numbers: float) -> None:
    """That `file` holds the conflicts of `features`."""
    found, expected = read_conflicts(file, features.shape[1]), conflicts_of(features, pids, **numbers)
    torch.testing.assert_close(found.cooccurrence, expected.cooccurrence, rtol=1e-4, atol=1e-5)
    assert found.scale == pytest.approx(expected.scale, rel=1e-4)
    assert (found.eps, found.lambda_value) == (expected.eps, expected.lambda_value)


@pytest.mark.parametrize(("name", "folder", "option"), [("market1501", "market", {}), ("p_ethz", "ethz", {"split": 2})])
def test_a_training_split_is_extracted(name, folder, option, data, weights, tmp_path):
    out = tmp_path / "conflicts.safetensors"
    chosen = [f"options.{key}={value}" for key, value in option.items()]
    words = ["--dataset", name, "--root", data / folder, "--weights", weights, "--preset", "mini", "--batch_size", 4]
    assert not here("conflicts", *words, *SIDE, "--out", out, "--lambda_value", 0.01, *chosen)
    records = build_dataset(name, data / folder, **option).train
    extractor = build_extractor("mos", weights, device="cpu")
    features = extract_features(extractor, [record.path for record in records], device="cpu")
    check(out, features, [record.pid for record in records], lambda_value=0.01)


def test_the_documented_commands_work_as_typed(data, weights, tmp_path, capsys):
    page = (ROOT / "docs/evaluate.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```sh\n(pose2id conflicts .*?)```", page, re.DOTALL)
    places = {"data/Market-1501": data / "market", "runs/reid_mos/mos.safetensors": weights}
    places["conflicts.safetensors"] = tmp_path / "conflicts.safetensors"
    for place, own in places.items():
        assert place in block
        block = block.replace(place, str(own))
    for command in block.replace("\\\n", " ").splitlines():
        assert not here(*shlex.split(command)[1:], *SIDE)
    assert "jaccard, conflicts" in capsys.readouterr().out


@pytest.mark.parametrize("cameras", [True, False])
def test_a_file_needs_no_cameras(cameras, tmp_path):
    rng, pids = np.random.default_rng(0), np.arange(12) // 3
    train, out = tmp_path / "train.npz", tmp_path / "conflicts.safetensors"
    feats = rng.random((12, 5), dtype=np.float32)
    np.savez(train, feats=feats, pids=pids, **({"camids": np.zeros(1)} if cameras else {}))  # nobody looks at them
    assert not here("conflicts", train, "--out", out, "--lambda_value", 0.01)
    check(out, torch.from_numpy(feats), pids, lambda_value=0.01)


def test_mistakes_are_one_line(data, weights, mini_weights, tmp_path, capsys):
    out, bare = tmp_path / "conflicts.safetensors", tmp_path / "bare.npz"
    np.savez(bare, feats=np.ones((2, 5), np.float32))
    market, ethz = ("--root", data / "market"), ("--dataset", "p_ethz", "--root", data / "ethz")
    other = ("--extractor", "transreid", "--preset", "mini", "--weights", mini_weights / "transformer_20.safetensors")
    for words, told in (
        ((bare, "--out", "x.npz"), "must end in .safetensors"),
        (("--out", out), "name either one file of training features, or root"),
        ((bare, *market, "--out", out), "name either one file of training features, or root"),
        ((bare, bare, "--out", out), "got 2"),
        ((bare, "--out", out), "bare.npz has no pids"),
        ((*ethz, "--weights", weights, "--out", out), "has no training pictures; name one split: options.split=1"),
        ((*market, *other, "--out", out), "transreid gives vectors, and conflicts are of sets; use a network such as"),
    ):
        assert here("conflicts", *words, *SIDE) == 2
        error = capsys.readouterr().err.splitlines()
        assert told in error[-1] and len(error) == 1
    assert not out.exists()
