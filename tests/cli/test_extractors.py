"""Every extractor through evaluate.py: pictures of the synthetic world, in other poses too, to all rows of a table."""

import json
import sys
from math import isfinite

import pytest
import torch
from safetensors.torch import save_file

from NFC.networks import NETWORKS, trainable
from NFC.training.network import NetworkConfig, export
from tests.commands import here
from tests.golden.recipe import recipe
from tests.nfc.drawn import write_drawn
from tests.nfc.networks.official import GOLDEN, checkpoint
from tests.nfc.networks.test_own_networks import write_exported

POSES = 2
# Extractor, stem of the official file (None: there is none, so one as training writes it), and a data set that its
# authors use.
FULL_SIZE = [
    ("transreid", "transformer_20", "market1501"),
    ("clipreid", "clipreid_vit", "market1501"),
    ("clipreid", "clipreid_vit_sie_olp", "market1501"),
    ("clipreid", "clipreid_rn50", "market1501"),
    ("pmt", "pmt", "sysu_mm01"),
    ("saai", "saai", "sysu_mm01"),
    ("saai", "saai", "regdb"),
    ("bpbreid", "bpbreid", "occluded_reid"),
    ("bpbreid", "bpbreid_k8", "market1501"),
    ("kpr", "kpr", "occluded_reid"),
    ("kpr", "kpr_in", "market1501"),
    ("pcb", "stripes_grid/pcb", "market1501"),
    ("pcb", "stripes_grid/pcb_official", "market1501"),
    ("pcb", "stripes_grid/pcb_bpm", "market1501"),
    ("pcb", "stripes_grid/pcb_torchreid", "market1501"),
    ("pcb_rpp", "stripes_grid/pcb_rpp", "market1501"),
    ("scpnet", "stripes_grid/scpnet", "market1501"),
    ("icnn", None, "market1501"),
    ("mos", None, "market1501"),
    ("baseline", None, "market1501"),
    ("siamese_lstm", None, "market1501"),
    ("gated_siamese", None, "market1501"),
    ("idla", "stripes_grid/idla", "market1501"),
    ("personnet", "stripes_grid/personnet", "market1501"),
    ("alignedreid", "stripes_grid/alignedreid", "market1501"),
    ("alignedreid_v1", "stripes_grid/alignedreid_v1", "market1501"),
    ("dsr", "dsr", "market1501"),
    ("dsr", "dsr_fastreid", "occluded_reid"),
    ("sap", None, "market1501"),
    ("pabp", None, "market1501"),
    ("spreid", None, "market1501"),
    ("rbnet", None, "market1501"),
    ("pie", "pose_parsing_domains/pie", "market1501"),
    ("spindlenet", "pose_parsing_domains/spindlenet", "market1501"),
    ("pdc", "pose_parsing_domains/pdc", "market1501"),
    ("glad", "pose_parsing_domains/glad", "market1501"),
    ("foreground", None, "market1501"),
    ("file", "exported", "market1501"),
]

SPY = """
from torch import nn
from NFC.extractors import Extractor, Preprocessing

SEEN = []

class Spy(nn.Module):
    def forward(self, images, camids=None):
        SEEN.append((len(images), camids))
        return images.mean((2, 3))

def build(weights):
    return Extractor(Spy(), 3, Preprocessing(16, 8), uses_camids=True)
"""


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Two people in a layout, drawn when first asked for."""
    datasets = {}

    def get(layout):
        if layout not in datasets:
            datasets[layout] = write_drawn(layout, tmp_path_factory.mktemp(layout) / "data", people=2, poses=POSES)
        return datasets[layout]

    return get


def score_all_rows(dataset, out, *flags) -> list[dict]:
    """The rows of the ablation, checked for what holds with any weights."""
    common = ["--dataset", dataset.name, "--root", dataset.root, "--poses", POSES, "--ablation", "--out", out]
    common += ["--device", "cpu", "--num_workers", 0, "--batch_size", 4]
    assert here("evaluate", *common, *flags) == 0
    rows = json.loads((out / "results.json").read_text())["rows"]
    assert [row["name"] for row in rows] == ["Base", "+NFC", "+IPG", "+NFC+IPG"]
    for row in rows:
        assert 0 < row["mAP"] <= 1 and isfinite(row["ID2"]) and row["ID2"] >= 0
    assert len({row["ID2"] for row in rows}) == len(rows), "each step changes the features"
    return rows


def test_the_smallest_network(drawn, mini_weights, tmp_path, monkeypatch):
    weights = mini_weights / "transformer_20.safetensors"
    flags = ["--extractor", "transreid", "--preset", "mini", "--weights", weights]
    score_all_rows(drawn("market1501"), tmp_path, *flags)


def test_cameras_reach_networks_that_use_them(drawn, tmp_path, monkeypatch):
    dataset = drawn("sysu_mm01")
    (tmp_path / "spying.py").write_text(SPY)
    monkeypatch.syspath_prepend(tmp_path)
    score_all_rows(dataset, tmp_path, "--extractor", "spying:build")
    seen = sys.modules.pop("spying").SEEN
    told = torch.cat([camids for _, camids in seen if camids is not None]).tolist()
    assert told == [record.camid for record in (*dataset.query, *dataset.gallery)]
    assert len(set(told)) > 2
    untold = sum(count for count, camids in seen if camids is None)
    assert untold == POSES * len(told), "generated pictures come from no camera"


@pytest.mark.slow
@pytest.mark.parametrize(("extractor", "stem", "layout"), FULL_SIZE)
def test_every_extractor_at_full_size(extractor, stem, layout, drawn, tmp_path, monkeypatch):
    weights = tmp_path / "weights.safetensors"
    if extractor == "file":
        weights, _ = write_exported(tmp_path, ".pt2")
    elif stem is None:
        weights = export(trainable(extractor)(trainable(extractor).Sizes()), NetworkConfig(extractor), tmp_path)
    elif stem == "transformer_20":
        shapes = json.loads((GOLDEN / "official_ipg.json").read_text())[f"{stem}.pth"]
        save_file({name: recipe(stem, name, shape) for name, shape in shapes.items() if shape}, weights)
    else:
        save_file(checkpoint(stem), weights)
    score_all_rows(drawn(layout), tmp_path / "out", "--extractor", extractor, "--weights", weights)


def test_no_extractor_is_left_out():
    assert {extractor for extractor, _, _ in FULL_SIZE} == NETWORKS.keys()


def test_keypoints_are_for_networks_that_take_them(drawn, mini_weights, tmp_path, capsys):
    flags = ["--root", drawn("market1501").root, "--preset", "mini"]
    flags += ["--weights", mini_weights / "transformer_20.safetensors", "--device", "cpu"]
    assert here("evaluate", *flags, "--keypoints", tmp_path) == 2
    assert "the network takes no keypoints; leave them out, or use kpr" in capsys.readouterr().err


def test_affinity_belongs_to_its_benchmarks(drawn, mini_weights, tmp_path, capsys):
    flags = ["--preset", "mini", "--weights", mini_weights / "transformer_20.safetensors", "--device", "cpu"]
    assert here("evaluate", *flags, "--root", drawn("market1501").root, "--affinity") == 2
    error = capsys.readouterr().err.strip()
    assert "affinity needs k1, k2; give affinity:k1=...,k2=..." in error and len(error.splitlines()) == 1
    sysu = ["--dataset", "sysu_mm01", "--root", drawn("sysu_mm01").root, "--affinity"]
    assert here("evaluate", *flags, *sysu, "--out", tmp_path) == 0
    assert "affinity" in json.loads((tmp_path / "results.json").read_text())["rows"][0]["name"]
