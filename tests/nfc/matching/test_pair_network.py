"""The verdict of a pair network behind a shortlist, against loops over pairs; and how `evaluate` names the network."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from NFC.evaluation.config import EvaluateConfig
from NFC.features.kinds import MapFeatures
from NFC.matching.pair_network import PairNetworkMatcher
from NFC.matching.shortlist import nearest_by
from NFC.networks.blocks.pair_network import Order
from pose2id.errors import UserError
from tests.commands import here
from tests.nfc.drawn import write_drawn
from tests.nfc.examples import example_set
from tests.nfc.networks.pair_networks import tiny_idla, write_tiny_idla

QUERY, GALLERY = example_set("maps", 6, 1), example_set("maps", 17, 2)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return str(write_tiny_idla(tmp_path_factory.mktemp("idla")))


@pytest.mark.parametrize("order", Order)
@torch.inference_mode()
def test_against_pairs_one_by_one(weights, order, monkeypatch):
    monkeypatch.setattr("NFC.matching.pair_network.BLOCK.__class__.rows", lambda *_: 7)  # blocks that do not divide
    distances = PairNetworkMatcher(extractor="idla", weights=weights, shortlist=5, order=order).distances(
        QUERY, GALLERY
    )
    network = tiny_idla().half().float()  # as the file holds it
    rows = [vectors.maps.mean(-1).flatten(1) for vectors in (QUERY.feats, GALLERY.feats)]
    cheap = torch.cdist(*(torch.nn.functional.normalize(v.double(), dim=1) for v in rows)).argsort(1)
    ranked = nearest_by(distances, 17)
    for q in range(6):
        scores = {}
        for g in cheap[q, :5].tolist():
            a, b = QUERY.feats.maps[q][None], GALLERY.feats.maps[g][None]
            logits = [network.compare(a, b)[1][0], network.compare(b, a)[1][0]]
            odds = [float(one[1] - one[0]) for one in logits]
            scores[g] = odds[0] if order is Order.query_first else sum(odds) / 2
        assert ranked[q].tolist() == [*sorted(scores, key=scores.get, reverse=True), *cheap[q, 5:].tolist()]


def test_networks_that_do_not_fit_are_one_line(weights, mini_weights):
    with pytest.raises(UserError, match="transreid judges no pairs"):
        file = str(mini_weights / "transformer_20.safetensors")
        PairNetworkMatcher(extractor="transreid", weights=file, preset="mini").distances(QUERY, GALLERY)
    other = [replace(samples, feats=MapFeatures(samples.feats.maps[..., :2])) for samples in (QUERY, GALLERY)]
    with pytest.raises(UserError, match=r"maps of \(2, 3, 2\), but idla gives \(2, 3, 3\)"):
        PairNetworkMatcher(extractor="idla", weights=weights).distances(*other)


def test_evaluate_fills_in_the_network():
    config = EvaluateConfig(extractor="idla", weights="w.pth", preset="mini", steps=["nfc", "pair_network:shortlist=7"])
    (chain,) = config.rows().values()
    assert chain.matcher == PairNetworkMatcher(extractor="idla", weights="w.pth", preset="mini", shortlist=7)
    own = replace(config, steps=["pair_network:extractor=personnet,order=both"])
    (chain,) = own.rows().values()
    assert (chain.matcher.extractor, chain.matcher.order) == ("personnet", Order.both)
    with pytest.raises(UserError, match="pair_network needs extractor; give pair_network:extractor="):
        replace(config, features=["q.npy", "g.npy"]).rows()


def test_evaluate_from_the_command_line(weights, tmp_path):
    dataset = write_drawn("market1501", tmp_path / "data", people=3, poses=1)
    common = ["--dataset", "market1501", "--root", dataset.root, "--device", "cpu", "--num_workers", 0]
    common += ["--extractor", "idla", "--weights", weights]
    rows = {}
    for name, steps in {
        "plain": [],
        "judged": ["pair_network:shortlist=4"],
        "centralized": ["nfc", "pair_network"],
    }.items():
        out = tmp_path / name
        files = ["--out", out, "--page", out / "page.html"]
        assert here("evaluate", *common, *files, *(["--steps", *steps] if steps else [])) == 0
        (rows[name],) = json.loads((out / "results.json").read_text())["rows"]
    assert all(0 < row["mAP"] <= 1 and np.isfinite(row["ID2"]) for row in rows.values())
    assert "recall" not in rows["plain"] and "recall_k" not in rows["plain"]
    assert rows["judged"]["recall_k"] == 4 and 0 < rows["judged"]["recall"] < 1
    for name, column in (("plain", False), ("judged", True)):
        for file in ("results.csv", "results.md", "results.tex", "page.html"):
            assert ("Recall@4" in (tmp_path / name / file).read_text()) is column
    assert len({row["mAP"] for row in rows.values()}) > 1 and "pair_network" in rows["centralized"]["name"]
