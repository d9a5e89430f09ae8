"""From data set to scores, with an extractor whose features are known."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import normalize

from NFC import ID2, NFC, evaluate_ranking, fuse_generated, k_reciprocal_rerank
from NFC.datasets import Trial, build_dataset
from NFC.features.feature_set import FeatureSet
from NFC.features.of_dataset import extract_dataset
from NFC.matching.affinity import affinity_distances
from NFC.scoring import protocol
from NFC.scoring.protocol import (
    Centralization,
    Protocol,
    Side,
    ablation_rows,
    centralize,
    fused_splits,
    score,
    score_rows,
)
from NFC.steps.query_expansion import expand_queries
from pose2id.errors import UserError
from tests.nfc.toy import GALLERY, QUERY, MeanColour, write_generated, write_market

LOADING = {"device": "cpu", "batch_size": 4}


@pytest.fixture
def market(tmp_path):
    return write_market(tmp_path)


def toy_features() -> FeatureSet:
    generator = torch.Generator().manual_seed(0)
    feats = 5 * torch.randn(12, 6, generator=generator)
    generated = 3 * torch.randn(12, 4, 6, generator=generator)
    return FeatureSet(feats, torch.arange(12), torch.zeros(12, dtype=torch.int64), generated)


def test_centralize_normalises_after_each_step():
    features = toy_features()
    settings = Centralization(Side.gallery, Side.both, eta=2.0, reduction="mean", k1=3, k2=4)
    base, extra = normalize(features.feats, dim=1), normalize(features.generated, dim=2)
    query = normalize(NFC(base, 3, 4), dim=1)
    gallery = normalize(NFC(normalize(fuse_generated(base, extra, 2.0, "mean"), dim=1), 3, 4), dim=1)
    torch.testing.assert_close(centralize(features, settings, "query"), query)
    torch.testing.assert_close(centralize(features, settings, "gallery"), gallery)
    torch.testing.assert_close(centralize(features, Centralization(), "query"), base)


def test_fusion_without_generated_features_is_an_error():
    with pytest.raises(UserError, match="needs generated features of the query"):
        centralize(replace(toy_features(), generated=None), Centralization(ipg=Side.query), "query")


def test_ablation(market):
    write_generated(market, poses=2)
    extractor = MeanColour()
    dataset = build_dataset("market1501", market)
    settings = ablation_rows(Centralization())
    assert fused_splits(settings.values()) == ["query", "gallery"]
    sets = extract_dataset(dataset, extractor, ["query", "gallery"], poses=2, **LOADING)
    rows = score_rows(*sets, settings, Protocol.of(dataset))
    assert [row.name for row in rows] == ["Base", "+NFC", "+IPG", "+NFC+IPG"]
    people = [pid for pid, _ in QUERY + GALLERY if pid]
    assert extractor.seen == len(QUERY + GALLERY) + 2 * len(people)  # each picture once, distractors not generated
    base, _, ipg, _ = rows
    assert ipg.id2 < base.id2
    assert ipg.mAP == pytest.approx(1)

    def features(split):
        return torch.stack([extractor.preprocess(Image.open(r.path)).mean((1, 2)) for r in getattr(dataset, split)])

    query, gallery = normalize(features("query"), dim=1), normalize(features("gallery"), dim=1)
    splits = dataset.query, dataset.gallery
    labels = [[getattr(record, key) for record in split] for key in ("pid", "camid") for split in splits]
    expected = evaluate_ranking(query, gallery, *labels)
    assert base.mAP == pytest.approx(expected.mAP)
    np.testing.assert_array_equal(base.cmc, expected.cmc)
    pids = torch.tensor(labels[0] + labels[1])
    assert base.id2 == pytest.approx(ID2(torch.cat([query, gallery])[pids > 0], pids[pids > 0]).mean().item())


def crowd(size: int, people: int, seed: int, generated: int = 3) -> FeatureSet:
    """Noisy samples of a few people, in turns, from two cameras."""
    random = torch.Generator().manual_seed(seed)
    pids = torch.arange(size) % people
    centres = torch.randn(people, 8, generator=torch.Generator().manual_seed(99))[pids]
    feats = centres + 1.5 * torch.randn(size, 8, generator=random)
    extra = centres[:, None] + torch.randn(size, generated, 8, generator=random)
    return FeatureSet(feats, pids, torch.arange(size) // people % 2, extra)


def test_steps_compose_in_the_documented_order():
    query, gallery = crowd(40, 10, seed=1), crowd(80, 10, seed=2)
    settings = Centralization(
        Side.gallery, Side.both, 1.5, "mean", k1=3, k2=5, expansion=4, alpha=2, rerank=True, rerank_k1=6, rerank_k2=3
    )
    q = normalize(NFC(normalize(query.feats, dim=1), 3, 5), dim=1)
    fused = fuse_generated(normalize(gallery.feats, dim=1), normalize(gallery.generated, dim=2), 1.5, "mean")
    g = normalize(NFC(normalize(fused, dim=1), 3, 5), dim=1)
    density = ID2(torch.cat([q, g]), torch.cat([query.pids, gallery.pids])).mean().item()
    q = normalize(expand_queries(q, g, 4, 2), dim=1)
    labels = query.pids, gallery.pids, query.camids, gallery.camids
    expected = evaluate_ranking(None, None, *labels, distances=k_reciprocal_rerank(q, g, 6, 3, 0.3))
    row = score("all", query, gallery, settings)
    assert (row.mAP, row.mINP, row.id2) == (expected.mAP, expected.mINP, density)
    for part in ({"rerank": False}, {"expansion": 0}, {"alpha": 0.0}):
        assert score("less", query, gallery, replace(settings, **part)).mAP != row.mAP
    with pytest.raises(UserError, match="differ in size, 8 and 3"):
        score("x", query, replace(gallery, feats=gallery.feats[:, :3]), settings)


def test_fusion_in_blocks_is_fusion(monkeypatch):
    features, settings = crowd(15, 5, seed=1), Centralization(ipg=Side.both)
    whole = centralize(features, settings, "query")
    monkeypatch.setattr(protocol, "FUSION_BLOCK", 4)
    assert torch.equal(centralize(features, settings, "query"), whole)


def other_cameras_only(q_pids, q_camids, g_pids, g_camids):
    return q_camids[:, None] == g_camids


def test_trials_are_centralized_on_their_own_and_averaged():
    query, gallery = crowd(15, 5, seed=1), crowd(40, 5, seed=2)
    trials = [Trial(range(15), range(20)), Trial([3, 1, 14, 7], range(20, 40)), Trial(range(5), range(0, 40, 2))]
    rules = Protocol(trials, other_cameras_only, "identities", frozenset({4}))
    settings = Centralization(Side.both, Side.both)
    row = score("trials", query, gallery, settings, rules)
    expected, densities = [], []
    for trial in trials:
        q, g = query[torch.tensor(trial.query)], gallery[torch.tensor(trial.gallery)]
        labels = q.pids, g.pids, q.camids, g.camids
        feats = centralize(q, settings, "query"), centralize(g, settings, "gallery")
        expected.append(evaluate_ranking(*feats, *labels, exclude=other_cameras_only, cmc="identities"))
        pids = torch.cat([q.pids, g.pids])
        densities.append(ID2(torch.cat(feats)[pids != 4], pids[pids != 4]).mean().item())
    assert row.mAP == pytest.approx(np.mean([result.mAP for result in expected]))
    assert row.mINP == pytest.approx(np.mean([result.mINP for result in expected]))
    np.testing.assert_allclose(row.cmc, np.mean([result.cmc for result in expected], axis=0))
    assert row.densities == tuple(densities) and row.id2 == pytest.approx(np.mean(densities))
    assert row.spread("mAP") == pytest.approx(np.std([result.mAP for result in expected])) and row.spread("mAP") > 0
    assert row.spread("rank-2") == pytest.approx(np.std([result.cmc[1] for result in expected]))
    assert row.spread("id2") == pytest.approx(np.std(densities))
    single = score("single", query, gallery, settings)
    assert single.spread("mAP") == single.spread("id2") == single.spread("rank-1") == 0.0


def test_one_visible_part_is_scored_like_a_plain_feature():
    query, gallery = crowd(15, 5, seed=1), crowd(30, 5, seed=2)

    def as_parts(plain):
        visible = torch.ones(len(plain.feats), 1)
        extra = torch.cat([plain.generated, torch.ones(*plain.generated.shape[:2], 1)], dim=2)
        return replace(plain, feats=torch.cat([plain.feats, visible], dim=1), generated=extra, parts=1)

    for settings in (Centralization(), Centralization(Side.both, Side.both, k1=3)):
        plain, parts = score("", query, gallery, settings), score("", as_parts(query), as_parts(gallery), settings)
        assert parts.mAP == pytest.approx(plain.mAP) and parts.id2 == pytest.approx(plain.id2, rel=1e-5)
    with pytest.raises(UserError, match="not defined for part features"):
        score("", as_parts(query), as_parts(gallery), Centralization(rerank=True))


@pytest.mark.parametrize(
    "wrong",
    [
        {"reduction": "max"},
        {"k1": 0},
        {"k2": -1},
        {"eta": float("nan")},
        {"expansion": -1},
        {"alpha": -0.5},
        {"rerank_k1": 0},
        {"rerank_lambda": 1.5},
    ],
)
def test_settings_are_checked(wrong):
    with pytest.raises(UserError):
        Centralization(**wrong)


def test_affinity_replaces_the_distances_of_its_benchmarks():
    query, gallery = crowd(20, 5, seed=1), crowd(40, 5, seed=2)
    trials = [Trial(range(20), range(20)), Trial(range(20), range(20, 40))]
    settings, expected = Centralization(nfc=Side.both, affinity=True), []
    for trial in trials:
        q, g = query[torch.tensor(trial.query)], gallery[torch.tensor(trial.gallery)]
        distances = affinity_distances(centralize(q, settings, "query"), centralize(g, settings, "gallery"), 6, 3)
        labels = q.pids, g.pids, q.camids, g.camids
        expected.append(evaluate_ranking(None, None, *labels, distances=distances).mAP)
    row = score("affinity", query, gallery, settings, Protocol(trials, affinity=(6, 3)))
    assert [ranking.mAP for ranking in row.rankings] == expected
    assert row.mAP != score("", query, gallery, replace(settings, affinity=False), Protocol(trials)).mAP
    with pytest.raises(UserError, match="defined for sysu_mm01 and regdb"):
        score("", query, gallery, settings)
    with pytest.raises(UserError, match="give one of them"):
        Centralization(rerank=True, affinity=True)
