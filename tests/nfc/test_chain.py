"""Chains of steps and a matcher: their order, their names, and how configs and flags name them."""

import re

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from NFC.chain import Chain
from NFC.evaluation import EvaluateConfig
from NFC.evaluation.benchmark import benchmark_numbers
from NFC.features.feature_set import FeatureSet
from NFC.features.kinds import VectorFeatures
from NFC.matching import DMLI, Affinity, Euclidean, KReciprocal
from NFC.methods import METHODS, build_methods
from NFC.scoring.scores import score
from NFC.steps import GeneratedPictures, NeighbourCentralization, QueryExpansion, Side
from pose2id.errors import UserError

IPG, NFC = GeneratedPictures(), NeighbourCentralization()


def test_a_chain_has_steps_and_one_matcher_wherever_it_stands():
    chain = Chain.of(IPG, KReciprocal(6, 3), NFC)
    assert chain == Chain((IPG, NFC), KReciprocal(6, 3))
    assert chain.label == "ipg both, nfc both, re-ranked" and Chain().label == "no steps"
    with pytest.raises(UserError, match="k_reciprocal and affinity both replace the distances; give one of them"):
        Chain.of(KReciprocal(), Affinity(4, 1))


def test_what_looks_at_both_sets_comes_last():
    assert Chain.of(NFC, QueryExpansion(3)).steps[-1] == QueryExpansion(3)
    with pytest.raises(UserError, match="query_expansion looks at query and gallery together: put nfc before it"):
        Chain.of(IPG, QueryExpansion(3), NFC)


def test_features_may_be_compared_as_they_are():
    """By length too, as a naive search has it; steps need normalised ones."""
    rng = np.random.default_rng(0)
    query, gallery = (rng.standard_normal((n, 6)) * rng.uniform(0.1, 9, (n, 1)) for n in (7, 30))
    pids = np.arange(7), rng.integers(0, 7, 30)
    sets = [
        FeatureSet(VectorFeatures(torch.tensor(values)), torch.tensor(who), torch.full((len(who),), camera))
        for camera, (values, who) in enumerate(zip((query, gallery), pids, strict=True))
    ]
    raw, unit = (score("", *sets, Chain.of(Euclidean(flag))) for flag in (False, True))
    order = np.square(query[:, None] - gallery).sum(2).argsort(1)
    for number, row in enumerate(pids[1][order] == pids[0][:, None]):
        hits = np.flatnonzero(row) + 1
        expected = np.mean(np.arange(1, len(hits) + 1) / hits) if len(hits) else np.nan
        np.testing.assert_allclose(raw.rankings[0].average_precision[number], expected)
    assert raw.mAP != unit.mAP and raw.id2 == unit.id2
    assert Chain.of(Euclidean(False)).label == "euclidean, not normalised"
    assert DMLI("global", normalized=False).label == "global, not normalised" and Chain.of(DMLI(normalized=False)).raw
    with pytest.raises(UserError, match="euclidean:normalized=false compares features as they are: leave out nfc"):
        Chain.of(NFC, Euclidean(False))


@pytest.mark.parametrize(
    ("entry", "method"),
    [
        ("nfc", NFC),
        ("nfc:on=gallery,k1=4", NeighbourCentralization(Side.gallery, 4)),
        ({"name": "nfc", "on": "query", "k2": 3}, NeighbourCentralization(Side.query, k2=3)),
        ({"name": "generated", True: "query"}, GeneratedPictures(Side.query)),  # YAML reads the word `on` as true
        ("generated:eta=2,reduction=mean", GeneratedPictures(eta=2.0, reduction="mean")),
        ("query_expansion:k=5,alpha=3", QueryExpansion(5, 3.0)),
        ("k_reciprocal:k1=10,lambda_value=0.5", KReciprocal(10, lambda_value=0.5)),
        ("affinity:k1=4,k2=1", Affinity(4, 1)),
        ("euclidean:normalized=false", Euclidean(False)),
    ],
)
def test_methods_are_named_in_configs(entry, method):
    assert build_methods([entry]) == [method]


def test_a_method_by_itself_is_a_list_of_one():
    assert build_methods("nfc:k1=4") == build_methods({"name": "nfc", "k1": 4}) == build_methods(["nfc:k1=4"])


def test_yaml_with_the_bare_word_on(tmp_path):
    (tmp_path / "c.yaml").write_text("steps: [{name: nfc, on: gallery, k1: 3}, k_reciprocal]\n")
    entries = OmegaConf.to_container(OmegaConf.load(tmp_path / "c.yaml")).get("steps")
    assert build_methods(entries) == [NeighbourCentralization(Side.gallery, 3), KReciprocal()]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("ncf", "steps: 'ncf' is unknown; choose one of: generated, nfc, query_expansion, euclidean"),
        ("nfc:k3=1", "steps: nfc: 'k3' is unknown; choose among: k2, k1, on"),
        ("nfc:k1=many", "steps: nfc: k1 is 'many'; it must be a whole number"),
        ("nfc:k1=0", "k1 and k2 must be at least 1, got k1=0, k2=2"),
        ("nfc:k2=-1", "k1 and k2 must be at least 1, got k1=2, k2=-1"),
        ("nfc:on=left", "steps: nfc: on is 'left'; it must be one of: none, gallery, query, both"),
        ("generated:reduction=max", "reduction must be sum or mean, got 'max'"),
        ("generated:eta=.nan", "eta is nan; it must be from -1000 to 1000"),
        ("query_expansion:k=0", "query expansion needs k of at least 1, got 0"),
        ("query_expansion:alpha=-0.5", "alpha must be at least 0 and finite, got -0.5"),
        ("k_reciprocal:k1=0", "need k1, k2 >= 1 and 0 <= lambda_value <= 1, got 0, 6, 0.3"),
        ("k_reciprocal:lambda_value=1.5", "need k1, k2 >= 1 and 0 <= lambda_value <= 1, got 20, 6, 1.5"),
        ("affinity", "affinity needs k1, k2; give affinity:k1=...,k2=..., or leave out affinity"),
        ({"k1": 3}, "names nothing; write NAME, NAME:number=4 or"),
        (7, "names nothing"),
        ({"name": ["nfc"]}, "steps: '['nfc']' is unknown; choose one of"),
    ],
)
def test_mistakes_are_one_line(entry, message):
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        build_methods([entry])
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("name", METHODS)
def test_a_chain_describes_itself_so_that_it_can_be_made_again(name):
    numbers = {"affinity": "k1=3,k2=2", "pair_network": "extractor=idla,weights=idla.safetensors"}
    (method,) = build_methods([f"{name}:{numbers[name]}" if name in numbers else name])
    assert method.name == name
    assert build_methods(Chain.of(method).described()) == [method]


def test_short_forms_stand_behind_the_listed_steps():
    config = EvaluateConfig(
        steps=["nfc:on=query"], ipg=Side.gallery, nfc=Side.both, eta=2.0, k1=3, expansion=4, alpha=2.0, rerank=True
    )
    steps = (
        NeighbourCentralization(Side.query),
        GeneratedPictures(Side.gallery, 2.0),
        NeighbourCentralization(k1=3),
        QueryExpansion(4, 2.0),
    )
    assert list(config.rows().values()) == [Chain(steps, KReciprocal())]


def test_ablation_adds_what_the_paper_adds_to_whatever_else_is_done():
    rows = EvaluateConfig(ablation=True, eta=0.5, rerank=True).rows()
    half = GeneratedPictures(eta=0.5)
    assert rows == {
        "Base": Chain((), KReciprocal()),
        "+NFC": Chain((NFC,), KReciprocal()),
        "+IPG": Chain((half,), KReciprocal()),
        "+NFC+IPG": Chain((half, NFC), KReciprocal()),
    }


@pytest.mark.parametrize(
    ("dataset", "options", "numbers"),
    [
        ("sysu_mm01", {}, {"k1": 4, "k2": 1}),
        ("sysu_mm01", {"shots": "10"}, {"k1": 20, "k2": 6}),
        ("sysu_mm01", {"mode": "indoor"}, {"k1": 2, "k2": 2}),
        ("sysu_mm01", {"mode": "indoor", "shots": 10}, {"k1": 20, "k2": 6}),
        ("regdb", {"trial": 3}, {"k1": 8, "k2": 2}),
    ],
)
def test_affinity_has_its_authors_numbers_on_its_benchmarks(dataset, options, numbers):
    known = benchmark_numbers(dataset, options, {})
    assert known["affinity"] == numbers
    assert build_methods(["affinity"], known) == [Affinity(**numbers)]
    config = EvaluateConfig(dataset=dataset, root="x", options=options, affinity=True)
    assert list(config.rows().values()) == [Chain((), Affinity(**numbers))]
    assert build_methods(["affinity:k1=5"], known) == [Affinity(5, numbers["k2"])]


def test_elsewhere_affinity_asks_for_its_numbers():
    assert benchmark_numbers("market1501", {}, {}) == {}
    assert benchmark_numbers("custom", {}, {"affinity": [{"k1": 3, "k2": 2}]}) == {"affinity": {"k1": 3, "k2": 2}}
    with pytest.raises(UserError, match="affinity needs k1, k2"):
        EvaluateConfig(affinity=True).rows()
