"""From data set to scores, with an extractor whose features are known."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import normalize

from NFC import ID2, NFC, evaluate_ranking, fuse_generated
from NFC.datasets import build_dataset
from NFC.errors import UserError
from NFC.protocol import Centralization, FeatureSet, MissingGenerated, Side, ablation_rows, centralize, evaluate_rows
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
    rows = evaluate_rows(dataset, extractor, ablation_rows(Centralization()), poses=2, **LOADING)
    assert [row.name for row in rows] == ["Base", "+NFC", "+IPG", "+NFC+IPG"]
    people = [pid for pid, _ in QUERY + GALLERY if pid]
    assert extractor.seen == len(QUERY + GALLERY) + 2 * len(people)  # each picture once, distractors not generated
    base, _, ipg, _ = rows
    assert ipg.id2 < base.id2
    assert ipg.ranking.mAP == pytest.approx(1)

    def features(split):
        return torch.stack([extractor.preprocess(Image.open(r.path)).mean((1, 2)) for r in getattr(dataset, split)])

    query, gallery = normalize(features("query"), dim=1), normalize(features("gallery"), dim=1)
    splits = dataset.query, dataset.gallery
    labels = [[getattr(record, key) for record in split] for key in ("pid", "camid") for split in splits]
    expected = evaluate_ranking(query, gallery, *labels)
    assert base.ranking.mAP == pytest.approx(expected.mAP)
    np.testing.assert_array_equal(base.ranking.cmc, expected.cmc)
    pids = torch.tensor(labels[0] + labels[1])
    assert base.id2 == pytest.approx(ID2(torch.cat([query, gallery])[pids > 0], pids[pids > 0]).mean().item())


def test_only_the_side_that_is_fused_needs_generated_pictures(market):
    write_generated(market, poses=1, splits=["query"])
    dataset = build_dataset("market1501", market)
    evaluate_rows(dataset, MeanColour(), {"q": Centralization(ipg=Side.query)}, poses=1, **LOADING)
    both = {"both": Centralization(ipg=Side.both)}
    with pytest.raises(UserError, match=r"bounding_box_test_gen.pose1.0001_c2s1_000000_00\.jpg is missing"):
        evaluate_rows(dataset, MeanColour(), both, poses=1, **LOADING)
    evaluate_rows(dataset, MeanColour(), both, poses=1, missing=MissingGenerated.original, **LOADING)


@pytest.mark.parametrize("wrong", [{"reduction": "max"}, {"k1": 0}, {"k2": -1}])
def test_settings_are_checked(wrong):
    with pytest.raises(UserError):
        Centralization(**wrong)
