"""The objective of a batch: branches, weights, cameras."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from NFC.networks.transreid import TransReID
from NFC.training.losses import batch_hard_triplet_loss, contrastive_loss
from NFC.training.objective import LossConfig, ReIDObjective
from pose2id.errors import UserError

SIZES = {"height": 32, "width": 16, "patch": 8, "stride": 4, "dim": 8, "depth": 2, "heads": 2, "fc_classes": 0}
ALL = LossConfig(1.0, label_smoothing=0.1, triplet_weight=0.5, contrastive_weight=0.25, temperature=0.2)


def network(**settings: object) -> TransReID:
    torch.manual_seed(0)
    return TransReID(**{**SIZES, "num_classes": 5, **settings}).eval()


def batch(generated: Tensor | None = None) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {
        "images": torch.rand(8, 3, 32, 16, generator=generator) * 2 - 1,
        "labels": torch.tensor([0, 0, 1, 1, 2, 2, 4, 4]),
        "camids": torch.tensor([0, 1, 2, 0, 1, 2, 0, 1]),
        "generated": torch.zeros(8, dtype=torch.bool) if generated is None else generated,
    }


def branch_loss(scores: Tensor, features: Tensor, labels: Tensor) -> Tensor:
    identity = F.cross_entropy(scores, labels, label_smoothing=0.1)
    triplet, contrastive = batch_hard_triplet_loss(features, labels), contrastive_loss(features, labels, 0.2)
    return identity + 0.5 * triplet + 0.25 * contrastive


@pytest.mark.parametrize("jigsaw", [True, False])
def test_the_global_branch_has_half_the_weight(jigsaw):
    reid, data = network(jigsaw=jigsaw), batch()
    scores, features = reid.heads(data["images"])
    losses = [branch_loss(s, f, data["labels"]) for s, f in zip(scores, features, strict=True)]
    expected = losses[0] / 2 + sum(losses[1:]) / 8 if jigsaw else losses[0]
    loss, logged = ReIDObjective(reid, ALL)(data, [])
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert sorted(logged) == ["contrastive", "identity", "triplet"]


def test_mixed_precision_is_for_the_network_alone():
    reid, data = network(), batch()
    with torch.autocast("cpu", torch.bfloat16):
        loss, logged = ReIDObjective(reid, ALL)(data, [])
        features = reid.branch_features(data["images"])[0].float()
    assert loss.dtype == torch.float32
    assert logged["contrastive"].item() == pytest.approx(contrastive_loss(features, data["labels"], 0.2).item(), 1e-6)


def test_losses_without_weight_do_not_run():
    loss, logged = ReIDObjective(network(num_classes=0), LossConfig(0.0, triplet_weight=2.0))(batch(), [])
    assert list(logged) == ["triplet"] and loss.isfinite()


def test_generated_pictures_come_without_camera():
    reid = network(num_cameras=3)
    with torch.no_grad():
        reid.base.sie_embed.normal_(std=0.5, generator=torch.Generator().manual_seed(2))
    generated = torch.tensor([0, 1, 0, 0, 1, 0, 1, 0], dtype=torch.bool)
    data = batch(generated)
    with_camera, without = (
        reid.branch_features(data["images"], data["camids"]),
        reid.branch_features(data["images"]),
    )
    features = [torch.where(generated[:, None], b, a) for a, b in zip(with_camera, without, strict=True)]
    losses = [batch_hard_triplet_loss(feature, data["labels"]) for feature in features]
    objective = ReIDObjective(reid, LossConfig(0.0, triplet_weight=1.0))
    loss, _ = objective(data, [])
    assert loss.item() == pytest.approx((losses[0] / 2 + sum(losses[1:]) / 8).item(), rel=1e-4)
    for alone in (torch.ones(8, dtype=torch.bool), torch.zeros(8, dtype=torch.bool)):
        assert objective(batch(alone), [])[0].isfinite()
    loss.backward()
    assert (reid.base.sie_embed.grad.flatten(1).abs().sum(1) > 0).all()


def test_a_few_steps_lower_the_loss():
    reid, data = network().train(), batch()
    objective = ReIDObjective(reid, LossConfig(1.0, triplet_weight=1.0))
    optimizer = torch.optim.SGD([p for p in reid.parameters() if p.requires_grad], lr=0.05, momentum=0.9)
    losses = []
    for _ in range(15):
        loss, _ = objective(data, [])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.parametrize(
    "wrong",
    [
        {"identity_weight": 0.0, "triplet_weight": 0.0},
        {"triplet_weight": -1.0},
        {"label_smoothing": 1.0},
        {"temperature": 0.0},
    ],
)
def test_weights_that_cannot_be_are_one_line(wrong):
    with pytest.raises(UserError):
        LossConfig(**wrong)
