"""Optimizers, their groups of parameters and the settings of a run."""

import sys

import pytest
import torch

from pose2id.errors import UserError
from pose2id.loop.optimizers import OPTIMIZERS, build_optimizer, parameter_groups
from pose2id.loop.randomness import row_generators
from pose2id.loop.settings import LoopConfig
from tests.pose2id.loop.toys import toy_loop

NAMED = {name: torch.nn.Parameter(torch.ones(1)) for name in ("net.backbone.a", "net.head.b", "net.backbone.c", "d")}


def named_groups(rates: dict[str, float], decays: dict[str, float]) -> dict[tuple[float, float], list[str]]:
    names = {id(parameter): name for name, parameter in NAMED.items()}
    groups = parameter_groups(NAMED, rates, decays)
    return {factors: [names[id(parameter)] for parameter in group] for factors, group in groups.items()}


def test_rates_by_the_beginning_of_names():
    assert named_groups({"backbone.": 0.1, "net.head": 2.0}, {}) == {
        (0.1, 1.0): ["net.backbone.a", "net.backbone.c"],
        (2.0, 1.0): ["net.head.b"],
        (1.0, 1.0): ["d"],
    }
    assert list(named_groups({}, {})) == [(1.0, 1.0)]
    rates = {"net.backbone.a": 3.0, "net.": 0.5}  # the first that fits
    assert [rate for rate, _ in named_groups(rates, {})] == [3.0, 0.5, 1.0]
    with pytest.raises(UserError, match=r"^learning_rate_factors: no parameter is called 'bone\.\.\.\.'"):
        parameter_groups(NAMED, {"backbone.": 0.1, "bone.": 0.1}, {"head.": 0.1})
    frozen = {"bone.a": torch.nn.Parameter(torch.ones(1), requires_grad=False)}
    assert parameter_groups(NAMED | frozen, {"bone.": 0.1}, {}) == parameter_groups(NAMED, {}, {})  # it is there


def test_decays_by_the_beginning_of_names():
    assert named_groups({"backbone.": 0.1}, {"a": 0, "d": 0, "head.": 0.5}) == {
        (0.1, 0): ["net.backbone.a"],
        (1.0, 0.5): ["net.head.b"],
        (0.1, 1.0): ["net.backbone.c"],
        (1.0, 0): ["d"],
    }
    with pytest.raises(UserError, match=r"^weight_decay_factors: no parameter is called 'bone\.\.\.\.'"):
        parameter_groups(NAMED, {"backbone.": 0.1}, {"bone.": 0.1})


def test_what_has_no_decay_is_not_drawn_to_zero(tmp_path):
    """Two parameters that the loss does not depend on, with gradients of zero: one of them decays."""
    loop, _ = toy_loop(tmp_path, weight_decay=0.5, weight_decay_factors={"layer.bias": 0}, ema_decay=0.0)
    before = {name: parameter.detach().clone() for name, parameter in loop.model.named_parameters()}
    loop.model.forward = lambda batch, generators: (0.0 * sum(p.sum() for p in loop.model.layer.parameters()), {})
    loop.run()
    assert torch.equal(loop.model.layer.bias, before["layer.bias"])
    assert (loop.model.layer.weight.abs() < before["layer.weight"].abs()).all()


def test_sgd_is_torchs_with_nesterov():
    config = LoopConfig(optimizer="sgd", momentum=0.9, nesterov=True, weight_decay=5e-4, learning_rate=0.1)
    parameter, expected, moment = torch.nn.Parameter(torch.tensor([2.0])), torch.tensor([2.0]), torch.zeros(1)
    optimizer = build_optimizer([parameter], config)
    for gradient in (1.0, -0.5, 0.25):
        parameter.grad = torch.tensor([gradient])
        optimizer.step()
        decayed = gradient + 5e-4 * expected
        moment = 0.9 * moment + decayed
        expected = expected - 0.1 * (decayed + 0.9 * moment)
    torch.testing.assert_close(parameter.data, expected)


GRADIENTS = (1.0, -0.5, 0.25, 2.0)


def trained(**options) -> torch.Tensor:
    """The number 2 after `GRADIENTS`."""
    parameter = torch.nn.Parameter(torch.tensor([2.0]))
    optimizer = build_optimizer([parameter], LoopConfig(learning_rate=0.1, weight_decay=0.3, **options))
    for gradient in GRADIENTS:
        parameter.grad = torch.tensor([gradient])
        optimizer.step()
    return parameter.data


def test_adam_decays_by_the_gradient():
    """Adam (Kingma and Ba) of gradients to which weight decay is added; AdamW's is not."""
    expected, mean, square = torch.tensor([2.0]), torch.zeros(1), torch.zeros(1)
    for step, gradient in enumerate(GRADIENTS, 1):
        decayed = gradient + 0.3 * expected
        mean, square = 0.9 * mean + 0.1 * decayed, 0.999 * square + 0.001 * decayed.square()
        root = (square / (1 - 0.999**step)).sqrt()
        expected = expected - 0.1 * (mean / (1 - 0.9**step)) / (root + 1e-8)
    torch.testing.assert_close(trained(optimizer="adam"), expected)
    assert (trained(optimizer="adamw") - expected).abs() > 1e-3


@pytest.mark.parametrize("decay", [0.9, 0.5])
def test_rmsprop_decays_its_mean_squares_by_the_momentum(decay):
    """RMSProp (Hinton's lecture) of gradients to which weight decay is added, without momentum."""
    expected, square = torch.tensor([2.0]), torch.zeros(1)
    for gradient in GRADIENTS:
        decayed = gradient + 0.3 * expected
        square = decay * square + (1 - decay) * decayed.square()
        expected = expected - 0.1 * decayed / (square.sqrt() + 1e-8)
    torch.testing.assert_close(trained(optimizer="rmsprop", momentum=decay), expected)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"optimizer": "lion"}, f"'lion' is not one of: {', '.join(OPTIMIZERS)}"),
        ({"precision": "half"}, "'half' is not one of: float32, bfloat16, float16"),
        ({"checkpoint_every": 0}, "checkpoint_every is 0; it must be from 1 to 2,147,483,647"),
        ({"gradient_accumulation": 0}, "gradient_accumulation is 0"),
        ({"learning_rate_factors": {"backbone.": -1}}, "^learning_rate_factors: that of 'backbone.' is -1"),
        ({"weight_decay_factors": {"bias": 1001}}, "^weight_decay_factors: that of 'bias' is 1001; it must be from 0"),
        ({"nesterov": True, "momentum": 0}, "nesterov needs a momentum"),
    ],
)
def test_settings_that_cannot_be(options, told):
    with pytest.raises(UserError, match=told):
        LoopConfig(**options)


def test_eight_bits_need_bitsandbytes(monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(UserError, match=r"needs bitsandbytes, .* use optimizer=adamw"):
        build_optimizer([torch.nn.Parameter(torch.ones(1))], LoopConfig(optimizer="adamw8bit"))


def test_every_row_of_every_step_has_its_own_numbers():
    draws = [
        torch.rand(1, generator=generator, dtype=torch.float64).item()
        for seed in (0, 1)
        for step in (0, 1, 1009)
        for generator in row_generators(seed, step, range(40))
    ]
    assert len(set(draws)) == len(draws) == 240
    again = [torch.rand(1, generator=row_generators(12580, 7, rows)[0]).item() for rows in (range(5, 6), range(5, 9))]
    assert again[0] == again[1]
