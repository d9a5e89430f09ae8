"""From data set to scores, with an extractor whose features are known."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import normalize

from NFC import ID2, NFC, evaluate_ranking, fuse_generated, k_reciprocal_rerank
from NFC.chain import Chain
from NFC.datasets import Trial, build_dataset
from NFC.evaluation import EvaluateConfig
from NFC.features.feature_set import FeatureSet
from NFC.features.kinds import PartFeatures
from NFC.features.of_dataset import extract_dataset
from NFC.matching import Affinity, KReciprocal
from NFC.matching.affinity import affinity_distances
from NFC.scoring.protocol import Protocol
from NFC.scoring.scores import score, score_rows
from NFC.steps import GeneratedPictures, NeighbourCentralization, QueryExpansion, Side, generated
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
    extra = 3 * torch.randn(12, 4, 6, generator=generator)
    return FeatureSet(feats, torch.arange(12), torch.zeros(12, dtype=torch.int64), extra)


def centralize(features: FeatureSet, chain: Chain, split: str) -> torch.Tensor:
    return chain.centralize(features, split).feats.values


def test_centralize_normalises_after_each_step():
    features = toy_features()
    chain = Chain.of(GeneratedPictures(Side.gallery, eta=2.0, reduction="mean"), NeighbourCentralization(k1=3, k2=4))
    base, extra = normalize(features.feats.values, dim=1), normalize(features.generated.values, dim=2)
    query = normalize(NFC(base, 3, 4), dim=1)
    gallery = normalize(NFC(normalize(fuse_generated(base, extra, 2.0, "mean"), dim=1), 3, 4), dim=1)
    torch.testing.assert_close(centralize(features, chain, "query"), query)
    torch.testing.assert_close(centralize(features, chain, "gallery"), gallery)
    torch.testing.assert_close(centralize(features, Chain(), "query"), base)


def test_fusion_without_generated_features_is_an_error():
    with pytest.raises(UserError, match="needs generated features of the query"):
        centralize(replace(toy_features(), generated=None), Chain.of(GeneratedPictures(Side.query)), "query")


def test_ablation(market):
    write_generated(market, poses=2)
    extractor = MeanColour()
    dataset = build_dataset("market1501", market)
    chains = EvaluateConfig(ablation=True).rows()
    assert [chain.fused_splits for chain in chains.values()] == [[], [], ["query", "gallery"], ["query", "gallery"]]
    sets = extract_dataset(dataset, extractor, ["query", "gallery"], poses=2, **LOADING)
    rows = score_rows(*sets, chains, Protocol.of(dataset))
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
    steps = GeneratedPictures(Side.gallery, 1.5, "mean"), NeighbourCentralization(k1=3, k2=5), QueryExpansion(4, 2.0)
    chain = Chain.of(*steps, KReciprocal(6, 3))
    q = normalize(NFC(normalize(query.feats.values, dim=1), 3, 5), dim=1)
    extra = normalize(gallery.generated.values, dim=2)
    fused = fuse_generated(normalize(gallery.feats.values, dim=1), extra, 1.5, "mean")
    g = normalize(NFC(normalize(fused, dim=1), 3, 5), dim=1)
    density = ID2(torch.cat([q, g]), torch.cat([query.pids, gallery.pids])).mean().item()
    q = normalize(expand_queries(q, g, 4, 2), dim=1)
    labels = query.pids, gallery.pids, query.camids, gallery.camids
    expected = evaluate_ranking(None, None, *labels, distances=k_reciprocal_rerank(q, g, 6, 3, 0.3))
    row = score("all", query, gallery, chain)
    assert (row.mAP, row.mINP, row.id2) == (expected.mAP, expected.mINP, density)
    for other in (
        Chain.of(*steps),
        Chain.of(*steps[:2], chain.matcher),
        Chain.of(*steps[:2], QueryExpansion(4), chain.matcher),
    ):
        assert score("less", query, gallery, other).mAP != row.mAP
    with pytest.raises(UserError, match="differ in size, 8 and 3"):
        score("x", query, replace(gallery, feats=gallery.feats.values[:, :3]), chain)


def test_fusion_in_blocks_is_fusion(monkeypatch):
    features, chain = crowd(15, 5, seed=1), Chain.of(GeneratedPictures())
    whole = centralize(features, chain, "query")
    monkeypatch.setattr(generated, "BLOCK", 4)
    assert torch.equal(centralize(features, chain, "query"), whole)


def other_cameras_only(q_pids, q_camids, g_pids, g_camids):
    return q_camids[:, None] == g_camids


def test_trials_are_centralized_on_their_own_and_averaged():
    query, gallery = crowd(15, 5, seed=1), crowd(40, 5, seed=2)
    trials = [Trial(range(15), range(20)), Trial([3, 1, 14, 7], range(20, 40)), Trial(range(5), range(0, 40, 2))]
    rules = Protocol(trials, other_cameras_only, "identities", frozenset({4}))
    chain = Chain.of(GeneratedPictures(), NeighbourCentralization())
    row = score("trials", query, gallery, chain, rules)
    expected, densities = [], []
    for trial in trials:
        q, g = query[torch.tensor(trial.query)], gallery[torch.tensor(trial.gallery)]
        labels = q.pids, g.pids, q.camids, g.camids
        feats = centralize(q, chain, "query"), centralize(g, chain, "gallery")
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
    single = score("single", query, gallery, chain)
    assert single.spread("mAP") == single.spread("id2") == single.spread("rank-1") == 0.0


def test_one_visible_part_is_scored_like_a_plain_feature():
    query, gallery = crowd(15, 5, seed=1), crowd(30, 5, seed=2)

    def as_parts(plain):
        sides = (side.values.unsqueeze(-2) for side in (plain.feats, plain.generated))
        feats, extra = (PartFeatures(side, torch.ones(side.shape[:-1])) for side in sides)
        return replace(plain, feats=feats, generated=extra)

    for chain in (Chain(), Chain.of(GeneratedPictures(), NeighbourCentralization(k1=3))):
        plain, parts = score("", query, gallery, chain), score("", as_parts(query), as_parts(gallery), chain)
        assert parts.mAP == pytest.approx(plain.mAP) and parts.id2 == pytest.approx(plain.id2, rel=1e-5)
    for method in (KReciprocal(), QueryExpansion(), Affinity(4, 1)):
        with pytest.raises(UserError, match=f"{method.name} is defined for vectors.*, not for parts; leave it out"):
            score("", as_parts(query), as_parts(gallery), Chain.of(method))


def test_affinity_replaces_the_distances():
    query, gallery = crowd(20, 5, seed=1), crowd(40, 5, seed=2)
    trials = [Trial(range(20), range(20)), Trial(range(20), range(20, 40))]
    chain, expected = Chain.of(NeighbourCentralization(), Affinity(6, 3)), []
    for trial in trials:
        q, g = query[torch.tensor(trial.query)], gallery[torch.tensor(trial.gallery)]
        distances = affinity_distances(centralize(q, chain, "query"), centralize(g, chain, "gallery"), 6, 3)
        labels = q.pids, g.pids, q.camids, g.camids
        expected.append(evaluate_ranking(None, None, *labels, distances=distances).mAP)
    row = score("affinity", query, gallery, chain, Protocol(trials))
    assert [ranking.mAP for ranking in row.rankings] == expected
    assert row.mAP != score("", query, gallery, Chain.of(NeighbourCentralization()), Protocol(trials)).mAP
