"""What every loss keeps to: finite values and gradients, batches without partners, half precision, bad numbers."""

from dataclasses import fields, replace

import pytest
import torch
from torch import Tensor

from NFC.networks.reid_network import Branch, Pairs
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


PAIRS = torch.tensor([[0, 1], [2, 3], [4, 5], [0, 2], [1, 4], [3, 5]])
TENSORS = ("features", "scores", "stripes", "target")  # of a branch, a row a picture
NEEDED = {  # what a loss looks at beside the features
    "identity": "scores",
    "local_triplet": "stripes",
    "reconstruction_triplet": "stripes",
    "spatial_to_channel": "target",
    "contrastive_pairs": "pairs",
    "verification": "pairs",
}


def numbers(scale: float = 1.0, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """What a branch of six pictures can have."""
    generator = torch.Generator().manual_seed(0)
    shapes = {"features": (6, 8), "scores": (6, 8), "stripes": (6, 4, 5), "target": (6, 8), "pair_scores": (6, 2)}
    made = {name: torch.randn(shape, generator=generator).mul(scale).to(dtype) for name, shape in shapes.items()}
    made["features"] = made["features"].abs() + scale / 2  # sets have nothing below 0
    return made | {"pair_distances": made["features"].float().norm(dim=1).to(dtype)}


def branch_of(made: dict[str, Tensor], rows: Tensor = PAIRS) -> Branch:
    pairs = Pairs(rows, made["pair_distances"], made["pair_scores"])
    return Branch(**{name: made[name] for name in TENSORS}, pairs=pairs)


def branch(scale: float = 1.0, dtype: torch.dtype = torch.float32) -> Branch:
    made = numbers(scale, dtype)
    return branch_of({name: tensor if name == "target" else tensor.requires_grad_() for name, tensor in made.items()})


def learnt(branch: Branch) -> dict[str, Tensor]:
    named = {name: getattr(branch, name) for name in TENSORS}
    return named | {"pair_scores": branch.pairs.scores, "pair_distances": branch.pairs.distances}


def gradients(branch: Branch) -> list[Tensor]:
    return [tensor.grad for tensor in learnt(branch).values() if tensor.grad is not None]


@pytest.mark.parametrize("labels", BATCHES.values(), ids=BATCHES)
def test_values_and_gradients_are_finite(loss, labels):
    given = branch()
    value = loss(given, torch.tensor(labels))
    assert value.shape == () and value.isfinite() and value >= 0
    value.backward()
    assert gradients(given) and all(gradient.isfinite().all() for gradient in gradients(given))


def test_equal_pictures_have_finite_gradients(loss):
    given = branch_of({name: torch.ones_like(tensor, requires_grad=True) for name, tensor in numbers().items()})
    loss(given, torch.tensor(BATCHES["people"])).backward()
    assert all(gradient.isfinite().all() for gradient in gradients(given))


def test_descent_lowers_it(loss):
    given, labels = branch(), torch.tensor(BATCHES["people"])
    before = loss(given, labels)
    before.backward()
    moved = {
        name: tensor.detach() - (0 if tensor.grad is None else 0.05 * tensor.grad)
        for name, tensor in learnt(given).items()
    }
    assert loss(branch_of(moved), labels) < before


def test_the_order_of_a_batch_does_not_matter(loss):
    given, labels, order = branch(), torch.tensor(BATCHES["some alone"]), torch.tensor([3, 1, 5, 0, 2, 4])
    turned = {name: tensor[order] if name in TENSORS else tensor for name, tensor in learnt(given).items()}
    torch.testing.assert_close(loss(branch_of(turned, order.argsort()[PAIRS]), labels[order]), loss(given, labels))


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


def test_a_branch_without_what_a_loss_needs_is_left_alone(loss):
    labels, (name,) = torch.tensor(BATCHES["people"]), [name for name, kind in LOSSES.items() if kind is type(loss)]
    assert loss(Branch(), labels) is None
    assert (loss(Branch(branch().features), labels) is None) == (name in NEEDED)
    assert loss(replace(branch(), **{NEEDED.get(name, "features"): None}), labels) is None


def test_a_list_and_the_short_form_are_read_alike():
    listed = read_losses([{"name": "identity", "weight": 2, "label_smoothing": 0.1}, {"name": "triplet"}])
    assert listed == read_losses({"identity_weight": 2.0, "label_smoothing": 0.1})
    assert list(read_losses({})) == ["identity", "triplet"]
    only = read_losses({"identity_weight": 0.0, "triplet_weight": 0.0, "contrastive_weight": 1.0, "temperature": 0.2})
    assert only == read_losses([{"name": "contrastive", "temperature": 0.2}])
    assert read_losses("verification") == read_losses({"name": "verification"}) == read_losses(["verification"])


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ([], "name at least one of identity"),
        ({"identity_weight": 0, "triplet_weight": 0}, "name at least one of identity"),
        ({"triplet_weight": -1.0}, "must be above 0"),
        ({"label_smoothing": 1.0}, "label_smoothing"),
        ({"margin": 1.0}, "losses: .*margin"),
        ([{"name": "triplet"}, {"name": "triplet"}], "each once"),
        ([{"name": "centre"}], "one of: identity, triplet, "),
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
