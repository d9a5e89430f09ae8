"""What every loss keeps to: finite values and gradients, batches without partners, half precision, bad numbers."""

from dataclasses import fields, replace

import pytest
import torch
from torch import Tensor

from NFC.networks.reid_network import Branch
from NFC.training.losses import LOSSES, Loss, read_losses
from pose2id.errors import UserError

BATCHES = {
    "people": [0, 0, 1, 1, 2, 2],
    "nobody twice": [0, 1, 2, 3, 4, 5],
    "one person": [3, 3, 3, 3, 3, 3],
    "some alone": [0, 0, 0, 1, 2, 3],
}


@pytest.fixture(params=LOSSES)
def loss(request) -> Loss:
    return LOSSES[request.param]()


def branch(scale: float = 1.0, dtype: torch.dtype = torch.float32) -> Branch:
    generator = torch.Generator().manual_seed(0)
    features, scores = (torch.randn(6, 8, generator=generator).mul(scale).to(dtype) for _ in range(2))
    return Branch(features.requires_grad_(), scores.requires_grad_())


def gradients(branch: Branch) -> list[Tensor]:
    return [tensor.grad for tensor in (branch.features, branch.scores) if tensor.grad is not None]


@pytest.mark.parametrize("labels", BATCHES.values(), ids=BATCHES)
def test_values_and_gradients_are_finite(loss, labels):
    given = branch()
    value = loss(given, torch.tensor(labels))
    assert value.shape == () and value.isfinite() and value >= 0
    value.backward()
    assert gradients(given) and all(gradient.isfinite().all() for gradient in gradients(given))


def test_equal_pictures_have_finite_gradients(loss):
    given = Branch(torch.ones(6, 8, requires_grad=True), torch.ones(6, 8, requires_grad=True))
    loss(given, torch.tensor(BATCHES["people"])).backward()
    assert all(gradient.isfinite().all() for gradient in gradients(given))


def test_descent_lowers_it(loss):
    given, labels = branch(), torch.tensor(BATCHES["people"])
    before = loss(given, labels)
    before.backward()
    moved = [
        tensor.detach() - (0 if tensor.grad is None else 0.05 * tensor.grad)
        for tensor in (given.features, given.scores)
    ]
    assert loss(Branch(*moved), labels) < before


def test_the_order_of_a_batch_does_not_matter(loss):
    given, labels, order = branch(), torch.tensor(BATCHES["some alone"]), torch.tensor([3, 1, 5, 0, 2, 4])
    turned = Branch(given.features[order], given.scores[order])
    torch.testing.assert_close(loss(turned, labels[order]), loss(given, labels))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_finite(loss, dtype):
    value = loss(branch(dtype=dtype), torch.tensor(BATCHES["people"]))
    torch.testing.assert_close(value.float(), loss(branch(), torch.tensor(BATCHES["people"])), rtol=0.05, atol=0.05)


def test_the_weight_does_not_reach_the_value(loss):
    labels = torch.tensor(BATCHES["people"])
    assert torch.equal(replace(loss, weight=5.0)(branch(), labels), loss(branch(), labels))


@pytest.mark.parametrize("number", [-1.0, float("-inf")])
def test_numbers_below_zero_are_refused(loss, number):
    for field in fields(loss):
        with pytest.raises(UserError) as error:
            replace(loss, **{field.name: number})
        assert "\n" not in str(error.value) and str(number) in str(error.value)


def test_scores_are_only_missed_by_losses_that_need_them():
    bare = Branch(branch().features)
    labels = torch.tensor(BATCHES["people"])
    without = {name for name in LOSSES if LOSSES[name]()(bare, labels) is None}
    assert without == {"identity"}


def test_a_list_and_the_short_form_are_read_alike():
    listed = read_losses([{"name": "identity", "weight": 2, "label_smoothing": 0.1}, {"name": "triplet"}])
    assert listed == read_losses({"identity_weight": 2.0, "label_smoothing": 0.1})
    assert list(read_losses({})) == ["identity", "triplet"]
    only = read_losses({"identity_weight": 0.0, "triplet_weight": 0.0, "contrastive_weight": 1.0, "temperature": 0.2})
    assert only == read_losses([{"name": "contrastive", "temperature": 0.2}])


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ([], "name at least one of identity"),
        ({"identity_weight": 0, "triplet_weight": 0}, "name at least one of identity"),
        ({"triplet_weight": -1.0}, "must be above 0"),
        ({"label_smoothing": 1.0}, "label_smoothing"),
        ({"margin": 1.0}, "losses: .*margin"),
        ([{"name": "triplet"}, {"name": "triplet"}], "each once"),
        ([{"name": "centre"}], "one of: identity, triplet, contrastive"),
        ([{"weight": 1}], "names nothing"),
        ([3], "names nothing"),
        ([{"name": "triplet", "margin": 0.3}], "losses: triplet: .*margin"),
        ([{"name": "contrastive", "temperature": 0.0}], "temperature must be above 0"),
        ([{"name": "triplet", "weight": "much"}], "losses: triplet: .*much"),
    ],
)
def test_losses_that_cannot_be_are_one_line(values, told):
    with pytest.raises(UserError, match=told) as error:
        read_losses(values)
    assert "\n" not in str(error.value)
