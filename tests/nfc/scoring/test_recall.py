"""The share of true matches within a shortlist, against loops over pairs, by the rules of protocols, in scores."""

from dataclasses import replace

import pytest
import torch

from NFC.chain import Chain
from NFC.datasets import Trial
from NFC.datasets.rules import same_camera
from NFC.datasets.sysu_mm01 import same_place
from NFC.matching import Jaccard, Reconstruction
from NFC.matching.conflicts import conflicts_of, write_conflicts
from NFC.scoring.labels import Labels
from NFC.scoring.protocol import Protocol
from NFC.scoring.recall import Recall, shortlist_recall
from NFC.scoring.scores import score
from pose2id.devices import AtOnce
from tests.nfc.examples import example_set

RULES = {same_camera: lambda q, g: q == g, same_place: lambda q, g: q[1] == 2 and g[1] == 1}  # of (pid, camid)


def people(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 6, (count,), generator=generator), torch.randint(0, 4, (count,), generator=generator)


def naive_recall(candidates, query, gallery, missing) -> float:
    """query, gallery: (pid, camid) of each picture."""
    found = total = 0
    for own, listed in zip(query, candidates, strict=True):
        true = {i for i, other in enumerate(gallery) if other[0] == own[0] and not missing(own, other)}
        found += len(true & set(listed))
        total += len(true)
    return found / total


@pytest.mark.parametrize("block", [1, 100, 10**6])
@pytest.mark.parametrize("rule", RULES)
def test_against_loops(rule, block, monkeypatch):
    monkeypatch.setattr("NFC.scoring.ranks.BLOCK", AtOnce(block, block))
    query, gallery = people(23, 1), people(40, 2)
    candidates = torch.rand(23, 40, generator=torch.Generator().manual_seed(3)).argsort(1)
    labels = Labels(query[0], query[1], gallery[0], gallery[1], rule)
    pairs = [list(zip(*(part.tolist() for part in side), strict=True)) for side in (query, gallery)]
    for k in (1, 7, 40):
        found = shortlist_recall(candidates[:, :k], labels)
        assert found == Recall(naive_recall(candidates[:, :k].tolist(), *pairs, RULES[rule]), k)
    assert found.share == 1
    nobody = replace(labels, g_pids=labels.g_pids + 9)
    assert torch.tensor(shortlist_recall(candidates, nobody).share).isnan()


def test_scores_hold_it_by_the_rule_of_each_trial():
    query, gallery = example_set("columns", 12, 1), example_set("columns", 30, 2)
    trials = [Trial(range(12), range(12)), Trial(range(4, 12), range(12, 15)), Trial(range(12), range(15, 30))]
    row = score("", query, gallery, Chain.of(Reconstruction(shortlist=5)), Protocol(trials))
    assert [recall.k for recall in row.recalls] == [5, 3, 5] and row.recalls[1].share == 1
    for trial, recall in zip(trials, row.recalls, strict=True):
        q, g = query[torch.tensor(trial.query)], gallery[torch.tensor(trial.gallery)]
        near = torch.cdist(*(side.feats.normalized().as_vectors().double() for side in (q, g))).argsort(1)[:, :5]
        pairs = [list(zip(side.pids.tolist(), side.camids.tolist(), strict=True)) for side in (q, g)]
        assert recall.share == naive_recall(near.tolist(), *pairs, RULES[same_camera])
    shares = torch.tensor([recall.share for recall in row.recalls], dtype=torch.float64)
    assert row.recall == Recall(pytest.approx(float(shares.mean())), 5) and 0 < row.recall.share < 1
    assert row.spread("recall") == pytest.approx(float(shares.std(correction=0)))


def test_only_rows_with_a_shortlist_have_one(tmp_path):
    path = tmp_path / "conflicts.safetensors"
    sets = [replace(example_set("sets", count, seed), generated=None) for count, seed in ((6, 1), (20, 2))]
    write_conflicts(conflicts_of(sets[1].feats.values, sets[1].pids, lambda_value=0.1), path)
    plain, judged = (score("", *sets, Chain.of(matcher)) for matcher in (Jaccard(), Jaccard(conflict=str(path))))
    assert plain.recall is None and plain.recalls == ()
    assert judged.recall == Recall(1.0, 20)  # a shortlist of 100 is all of the gallery
