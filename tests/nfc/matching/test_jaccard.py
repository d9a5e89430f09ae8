"""The penalty for patterns that never go together: the golden one, its closed form, its file, what it changes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from NFC.features.feature_set import FeatureSet
from NFC.features.kinds import SetFeatures
from NFC.matching import Jaccard
from NFC.matching.conflicts import MOST, Conflicts, conflicts_of, read_conflicts, write_conflicts
from NFC.matching.shortlist import nearest_by
from pose2id.devices import AtOnce
from pose2id.errors import UserError

GOLDEN = np.load(Path(__file__).parents[2] / "golden" / "asymmetric" / "mos.npz")
G, PIDS = torch.from_numpy(GOLDEN["g"]), torch.from_numpy(GOLDEN["y"])
EPS, LAMBDA = float(GOLDEN["eps"]), float(GOLDEN["lam"])


def sample(values) -> FeatureSet:
    return FeatureSet(SetFeatures(values), None, None)


def learned() -> Conflicts:
    return conflicts_of(G, PIDS, EPS, LAMBDA, scale=1.0)


def naive_cooccurrence(features, pids):
    """Over all pairs of pictures of one person, a picture with itself among them."""
    pairs = [(a, b) for i, a in enumerate(features) for j, b in enumerate(features) if pids[i] == pids[j]]
    unions = torch.stack([torch.maximum(a, b) for a, b in pairs])
    return (unions[:, :, None] * unions[:, None]).amax(0)


def test_golden_cooccurrence():
    found = learned().cooccurrence
    np.testing.assert_allclose(found, GOLDEN["cooccurrence"], rtol=1e-6)
    torch.testing.assert_close(found, naive_cooccurrence(G, PIDS).float())


@pytest.mark.parametrize("block", [1, 2000, 10**7])
def test_golden_conflict(block, monkeypatch):
    monkeypatch.setattr("NFC.matching.conflicts.BLOCK", AtOnce(block, block))
    conflicts = Conflicts(torch.from_numpy(GOLDEN["cooccurrence"]), eps=EPS)
    found = torch.stack([conflicts.penalty(row.expand_as(G), G) for row in G[:8]])
    np.testing.assert_allclose(found, GOLDEN["conflict"], rtol=1e-9, atol=1e-9)
    assert found[PIDS[:8, None] == PIDS].max() == 0  # a person never contradicts itself on training pictures


def test_golden_similarity(tmp_path):
    path = tmp_path / "conflicts.safetensors"
    write_conflicts(replace(learned(), cooccurrence=torch.from_numpy(GOLDEN["cooccurrence"])), path)
    distances = Jaccard(conflict=str(path)).distances(sample(G[:8]), sample(G))
    similarity = 1 - distances[torch.arange(8)]
    np.testing.assert_allclose(similarity, GOLDEN["similarity"], rtol=1e-9, atol=1e-9)


def test_the_scale_makes_features_of_any_size_alike():
    once, hundredfold = conflicts_of(G, PIDS), conflicts_of(100 * G, PIDS)
    assert hundredfold.scale == pytest.approx(100 * once.scale)
    torch.testing.assert_close(hundredfold.cooccurrence, once.cooccurrence)
    penalties = once.penalty(G[:4], G[8:12]), hundredfold.penalty(100 * G[:4], 100 * G[8:12])
    torch.testing.assert_close(*penalties, rtol=1e-5, atol=1e-6)  # the scale is a float32 number
    assert once.penalty(1e6 * G[:4], G[8:12]).tolist() == [MOST] * 4


def test_only_the_shortlist_is_ranked_anew(tmp_path):
    path = tmp_path / "conflicts.safetensors"
    write_conflicts(learned(), path)
    plain = nearest_by(Jaccard().distances(sample(G[:8]), sample(G)), len(G))
    matcher = Jaccard(conflict=str(path), shortlist=6)
    ranked = nearest_by(matcher.distances(sample(G[:8]), sample(G)), len(G))
    assert not torch.equal(ranked, plain) and torch.equal(ranked[:, 6:], plain[:, 6:])
    assert torch.equal(ranked[:, :6].sort(1).values, plain[:, :6].sort(1).values)
    without = replace(matcher, lambda_value=0.0).distances(sample(G[:8]), sample(G))
    assert torch.equal(nearest_by(without, len(G)), plain)
    assert (matcher.label, Jaccard().label) == ("jaccard, conflicts", "jaccard")


def test_mistakes_are_told_in_one_line(tmp_path):
    path = tmp_path / "conflicts.safetensors"
    write_conflicts(learned(), path)
    save_file({"other": torch.zeros(2)}, tmp_path / "other.safetensors")
    wrong = [
        (lambda: read_conflicts(path, 7), "is of sets of 24 numbers, these have 7"),
        (lambda: read_conflicts(tmp_path / "other.safetensors", 24), "other.safetensors lacks cooccurrence"),
        (lambda: read_conflicts(tmp_path / "nowhere.safetensors", 24), "nowhere.safetensors"),
        (lambda: conflicts_of(-G, PIDS), "training features are sets and cannot hold numbers below 0"),
        (lambda: conflicts_of(0 * G, PIDS), "all zero"),
        (lambda: conflicts_of(G, PIDS, eps=-1), "eps and lambda must be at least 0 and finite, got -1"),
        (lambda: Jaccard(lambda_value=-1), "lambda_value is -1"),
    ]
    for call, message in wrong:
        with pytest.raises(UserError, match=message) as caught:
            call()
        assert len(str(caught.value).splitlines()) == 1
