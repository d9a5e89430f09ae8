import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from NFC.matching.affinity import affinity_distances
from pose2id.devices import AtOnce
from pose2id.errors import UserError


def unit(count, seed, dim=6, people=5):
    rng = torch.Generator().manual_seed(seed)
    centres = torch.randn(people, dim, generator=torch.Generator().manual_seed(9))
    return normalize(centres[torch.arange(count) % people] + 0.6 * torch.randn(count, dim, generator=rng), dim=1)


def naive(query, gallery, k1, k2):
    """Row by row, as SAAI does it at test time."""
    query, gallery = query.double().numpy(), gallery.double().numpy()

    def kept(row):
        threshold = sorted(row, reverse=True)[min(k1, len(row)) - 1]
        return np.array([value if value >= threshold else 0.0 for value in row])

    among = gallery @ gallery.T
    sparse = np.array([kept(row) for row in among])
    result = np.zeros((len(query), len(gallery)))
    for j, row in enumerate(among):
        near = sorted(range(len(row)), key=lambda i: -row[i])[:k2]
        a_g = np.mean([sparse[i] for i in near], axis=0)
        for i, q in enumerate(query):
            a_q = kept(gallery @ q)
            cosine = a_q @ a_g / (np.linalg.norm(a_q) * np.linalg.norm(a_g))
            result[i, j] = -cosine - q @ gallery[j]
    return result


@pytest.mark.parametrize(("k1", "k2"), [(4, 1), (20, 6), (2, 2), (8, 2), (99, 99)])
@pytest.mark.parametrize("block", [1, 100, 10**6])
def test_equals_a_naive_loop(k1, k2, block, monkeypatch):
    monkeypatch.setattr("NFC.matching.affinity.BLOCK", AtOnce(block, block))
    query, gallery = unit(7, 0), unit(24, 1)
    expected = naive(query, gallery, k1, k2)
    assert affinity_distances(query, gallery, k1, k2).numpy() == pytest.approx(expected, abs=1e-6)


def test_ties_at_the_threshold_survive():
    gallery = torch.tensor([[1.0, 0], [0.6, 0.8], [0.6, 0.8], [0, 1]])
    query = torch.tensor([[1.0, 0]])
    assert affinity_distances(query, gallery, k1=2).numpy() == pytest.approx(naive(query, gallery, 2, 1), abs=1e-6)
    assert affinity_distances(query, gallery, k1=2)[0, 1] == affinity_distances(query, gallery, k1=2)[0, 2]


def test_it_helps_a_query_between_two_people():
    """Two gallery pictures are equally near; the one whose own neighbours the query resembles too comes first."""
    gallery = normalize(torch.tensor([[1.0, 0.5, 0], [1, 0.4, 0.2], [1, 0.4, -0.2], [1, -0.5, 0], [0, -1, 0.1]]), dim=1)
    query = torch.tensor([[1.0, 0, 0]])
    plain = -(query @ gallery.T)[0]
    assert plain[0] == pytest.approx(float(plain[3]), abs=1e-6)
    distances = affinity_distances(query, gallery, k1=3)[0]
    assert distances[0] < distances[3]


def test_numpy_and_half_precision():
    query, gallery = unit(3, 0), unit(8, 1)
    result = affinity_distances(query.numpy(), gallery.numpy())
    assert isinstance(result, np.ndarray) and result.dtype == np.float32
    assert affinity_distances(query.half(), gallery.half()).numpy() == pytest.approx(result, abs=0.05)


def test_mistakes_are_told_in_one_line():
    with pytest.raises(UserError, match="differ in size: 6 and 4"):
        affinity_distances(unit(3, 0), unit(3, 1, dim=4))
    with pytest.raises(UserError, match="k1 and k2 must be at least 1"):
        affinity_distances(unit(3, 0), unit(3, 1), k1=0)
