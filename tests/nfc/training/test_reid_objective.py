"""The objective of a batch: branches, weights, cameras."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from NFC.networks.reid_network import Branch, Inputs, ReIDNetwork
from NFC.networks.transreid import TransReID
from NFC.training.losses import batch_hard_triplet_loss, contrastive_loss, read_losses
from NFC.training.objective import ReIDObjective
from pose2id.errors import UserError
from pose2id.presets import TransReIDSizes

SIZES = {"height": 32, "width": 16, "patch": 8, "stride": 4, "dim": 8, "depth": 2, "heads": 2, "fc_classes": 0}
ALL = read_losses(
    [
        {"name": "identity", "label_smoothing": 0.1},
        {"name": "triplet", "weight": 0.5},
        {"name": "contrastive", "weight": 0.25, "temperature": 0.2},
    ]
)
TRIPLET = read_losses([{"name": "triplet", "weight": 2.0}])


def network(**settings: object) -> TransReID:
    torch.manual_seed(0)
    return TransReID(TransReIDSizes(**{**SIZES, "num_classes": 5, **settings})).eval()


def batch(generated: Tensor | None = None) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {
        "pictures": torch.rand(8, 3, 32, 16, generator=generator) * 2 - 1,
        "labels": torch.tensor([0, 0, 1, 1, 2, 2, 4, 4]),
        "camids": torch.tensor([0, 1, 2, 0, 1, 2, 0, 1]),
        "generated": torch.zeros(8, dtype=torch.bool) if generated is None else generated,
    }


def branch_loss(branch: Branch, labels: Tensor) -> Tensor:
    identity = F.cross_entropy(branch.scores, labels, label_smoothing=0.1)
    triplet = batch_hard_triplet_loss(branch.features, labels)
    return identity + 0.5 * triplet + 0.25 * contrastive_loss(branch.features, labels, 0.2)


@pytest.mark.parametrize("jigsaw", [True, False])
def test_the_global_branch_has_half_the_weight(jigsaw):
    reid, data = network(jigsaw=jigsaw), batch()
    losses = [branch_loss(branch, data["labels"]) for branch in reid.branches(Inputs(data["pictures"]))]
    expected = losses[0] / 2 + sum(losses[1:]) / 8 if jigsaw else losses[0]
    loss, logged = ReIDObjective(reid, ALL)(data, [])
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert sorted(logged) == ["contrastive", "identity", "triplet"]


def test_mixed_precision_is_for_the_network_alone():
    reid, data = network(), batch()
    with torch.autocast("cpu", torch.bfloat16):
        loss, logged = ReIDObjective(reid, ALL)(data, [])
        features = reid.branch_features(data["pictures"])[0].float()
    assert loss.dtype == torch.float32
    assert logged["contrastive"].item() == pytest.approx(contrastive_loss(features, data["labels"], 0.2).item(), 1e-6)


def test_losses_without_weight_do_not_run():
    loss, logged = ReIDObjective(network(num_classes=0), TRIPLET)(batch(), [])
    assert list(logged) == ["triplet"] and loss.isfinite()


def test_generated_pictures_come_without_camera():
    reid = network(num_cameras=3)
    with torch.no_grad():
        reid.base.sie_embed.normal_(std=0.5, generator=torch.Generator().manual_seed(2))
    generated = torch.tensor([0, 1, 0, 0, 1, 0, 1, 0], dtype=torch.bool)
    data = batch(generated)
    with_camera, without = (
        reid.branch_features(data["pictures"], data["camids"]),
        reid.branch_features(data["pictures"]),
    )
    features = [torch.where(generated[:, None], b, a) for a, b in zip(with_camera, without, strict=True)]
    losses = [batch_hard_triplet_loss(feature, data["labels"]) for feature in features]
    objective = ReIDObjective(reid, TRIPLET)
    loss, _ = objective(data, [])
    assert loss.item() == pytest.approx(2 * (losses[0] / 2 + sum(losses[1:]) / 8).item(), rel=1e-4)
    for alone in (torch.ones(8, dtype=torch.bool), torch.zeros(8, dtype=torch.bool)):
        assert objective(batch(alone), [])[0].isfinite()
    loss.backward()
    assert (reid.base.sie_embed.grad.flatten(1).abs().sum(1) > 0).all()


def test_a_few_steps_lower_the_loss():
    reid, data = network().train(), batch()
    objective = ReIDObjective(reid, read_losses({}))
    optimizer = torch.optim.SGD([p for p in reid.parameters() if p.requires_grad], lr=0.05, momentum=0.9)
    losses = []
    for _ in range(15):
        loss, _ = objective(data, [])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


class WithItsOwnLoss(ReIDNetwork):
    """One branch, and a loss that no other network has."""

    def __init__(self) -> None:
        super().__init__(None)
        self.layer = torch.nn.Linear(3, 4)

    def branches(self, inputs: Inputs) -> list[Branch]:
        return [Branch(self.layer(inputs.pictures.mean((2, 3))))]

    def outputs(self, inputs: Inputs, labels: Tensor) -> tuple[list[Branch], dict[str, Tensor]]:
        return self.branches(inputs), {"size": self.layer.weight.square().sum()}


def test_losses_of_the_network_itself_count():
    reid = WithItsOwnLoss()
    loss, logged = ReIDObjective(reid, TRIPLET)(batch(), [])
    assert loss.item() == pytest.approx(2 * logged["triplet"].item() + logged["size"].item())
    loss.backward()
    assert reid.layer.weight.grad.any()


def test_a_branch_without_scores_needs_another_loss():
    with pytest.raises(UserError, match="a branch that no loss can train"):
        ReIDObjective(network(num_classes=0), read_losses([{"name": "identity"}]))(batch(), [])


def test_numbers_of_the_losses_stay_within_a_run():
    settings = ReIDObjective(network(), ALL).fixed_settings()
    assert settings["losses.identity.label_smoothing"] == 0.1 and settings["losses.triplet.weight"] == 0.5
    fewer = ReIDObjective(network(), read_losses([{"name": "identity", "label_smoothing": 0.1}])).fixed_settings()
    assert settings["losses.names"] != fewer["losses.names"] == "identity"
