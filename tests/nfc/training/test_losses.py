"""The losses against naive references, written picture by picture."""

import math

import pytest
import torch
from torch import Tensor

from NFC.networks.reid_network import Branch
from NFC.training.losses import batch_hard_triplet_loss, contrastive_loss
from NFC.training.losses.identity import Identity
from NFC.training.losses.reconstruction_triplet import ReconstructionTriplet
from tests.nfc.networks.official import golden


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


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.7])
def test_smoothing_over_all_or_over_the_others(smoothing):
    stored = golden("label_smoothing")
    scores, labels = stored["logits"].double(), stored["targets"]
    losses = {"all": [], "others": []}
    for row, label in zip(scores.tolist(), labels.tolist(), strict=True):
        total = math.log(sum(math.exp(score) for score in row))
        for over, share in (("all", smoothing / len(row)), ("others", smoothing / (len(row) - 1))):
            left = 1 - smoothing + (share if over == "all" else 0)
            losses[over].append(sum((total - s) * (left if k == label else share) for k, s in enumerate(row)))
    for over, expected in losses.items():
        loss = Identity(label_smoothing=smoothing, smoothing_over=over)(Branch(scores=scores), labels)
        assert float(loss) == pytest.approx(sum(expected) / len(expected))
    official = Identity(label_smoothing=0.1)(Branch(scores=scores), labels)
    assert float(official) == pytest.approx(float(stored["alignedreid_eps_over_K"]), rel=1e-5)


def test_the_reconstruction_triplet_equals_the_naive_one():
    features, labels = draw(3, 4, 3)
    columns = torch.randn(12, 4, 9, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    unit, losses = columns / columns.norm(dim=2, keepdim=True), []
    distances = torch.cdist(features.double(), features.double())

    def rebuilt(anchor: int, other: int) -> Tensor:
        x, y = unit[anchor], unit[other]
        weights = torch.linalg.inv(y @ y.T + 1e-3 * torch.eye(4)) @ y @ x.T
        return (x - weights.T @ y).norm(dim=1).mean()

    for i in range(12):
        positive = max((j for j in range(12) if labels[j] == labels[i] and j != i), key=lambda j: distances[i, j])
        negative = min((j for j in range(12) if labels[j] != labels[i]), key=lambda j: distances[i, j])
        near, far = distances[i, positive] + rebuilt(i, positive), distances[i, negative] + rebuilt(i, negative)
        losses.append(max(0.0, 0.45 + float(near - far)))
    given = columns.float().requires_grad_()
    loss = ReconstructionTriplet()(Branch(features, stripes=given), labels)
    assert loss.item() == pytest.approx(sum(losses) / 12, rel=1e-5)
    loss.backward()
    assert given.grad.abs().sum() > 0
