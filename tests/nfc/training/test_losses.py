"""The losses against naive references, written picture by picture."""

import math

import pytest
import torch
from torch import Tensor

from NFC.training.losses import batch_hard_triplet_loss, contrastive_loss


def draw(seed: int, people: int, each: int, dim: int = 5) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(people).repeat_interleave(each)[torch.randperm(people * each, generator=generator)]
    return torch.randn(people * each, dim, generator=generator), labels


def naive_triplet(features: Tensor, labels: Tensor) -> float:
    losses = []
    for i in range(len(labels)):
        distance = [math.dist(features[i].tolist(), other.tolist()) for other in features]
        partners = [distance[j] for j in range(len(labels)) if labels[j] == labels[i] and j != i]
        others = [distance[j] for j in range(len(labels)) if labels[j] != labels[i]]
        if partners and others:
            losses.append(math.log(1 + math.exp(max(partners) - min(others))))
    return sum(losses) / len(losses) if losses else 0.0


def naive_contrastive(features: Tensor, labels: Tensor, temperature: float) -> float:
    losses = []
    for i in range(len(labels)):
        cosine = [torch.cosine_similarity(features[i], other, dim=0).item() / temperature for other in features]
        rest = [j for j in range(len(labels)) if j != i]
        total = math.log(sum(math.exp(cosine[j]) for j in rest))
        partners = [total - cosine[j] for j in rest if labels[j] == labels[i]]
        if partners:
            losses.append(sum(partners) / len(partners))
    return sum(losses) / len(losses) if losses else 0.0


@pytest.mark.parametrize(("seed", "people", "each"), [(0, 3, 4), (1, 5, 2), (2, 2, 6), (3, 4, 1), (4, 1, 3)])
def test_the_losses_equal_the_naive_ones(seed, people, each):
    features, labels = draw(seed, people, each)
    assert batch_hard_triplet_loss(features, labels).item() == pytest.approx(naive_triplet(features, labels), rel=1e-5)
    for temperature in (0.1, 1.0):
        expected = naive_contrastive(features, labels, temperature)
        assert contrastive_loss(features, labels, temperature).item() == pytest.approx(expected, rel=1e-4)


def test_labels_with_and_without_partners_mix():
    features, labels = draw(5, 4, 3)
    labels[labels == 2] = torch.tensor([10, 11, 12])
    assert batch_hard_triplet_loss(features, labels).item() == pytest.approx(naive_triplet(features, labels), rel=1e-5)
    expected = naive_contrastive(features, labels, 0.1)
    assert contrastive_loss(features, labels, 0.1).item() == pytest.approx(expected, rel=1e-4)


def test_the_triplet_loss_takes_the_hardest_pair():
    features = torch.tensor([[0.0], [1.0], [3.0], [10.0]])
    labels = torch.tensor([0, 0, 0, 1])
    hardest = [(3, 10), (2, 9), (3, 7)]  # farthest partner, nearest other of the three; the fourth has no partner
    expected = sum(math.log1p(math.exp(p - n)) for p, n in hardest) / 3
    assert batch_hard_triplet_loss(features, labels).item() == pytest.approx(expected)


@pytest.mark.parametrize("loss", [batch_hard_triplet_loss, lambda f, y: contrastive_loss(f, y, 0.1)])
def test_gradients_are_finite_even_for_equal_pictures(loss):
    features = torch.ones(6, 4, requires_grad=True)
    loss(features, torch.tensor([0, 0, 0, 1, 1, 1])).backward()
    assert features.grad.isfinite().all()
