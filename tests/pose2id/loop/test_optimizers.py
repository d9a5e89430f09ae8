"""Optimizers, the learning-rate schedule and the settings of a run."""

import math
import sys

import pytest
import torch

from pose2id.errors import UserError
from pose2id.loop.optimizers import build_optimizer, learning_rate_factor, rate_groups
from pose2id.loop.randomness import row_generators
from pose2id.loop.settings import LoopConfig


def test_learning_rate_factors():
    constant = LoopConfig(warmup_steps=4)
    assert [learning_rate_factor(constant, step, 0.9) for step in (0, 1, 3, 4, 1000)] == [0.25, 0.5, 1, 1, 1]
    cosine = LoopConfig(lr_schedule="cosine", warmup_steps=0)
    factors = [learning_rate_factor(cosine, 0, progress) for progress in (0, 0.25, 0.5, 1, 1.5)]
    assert factors == pytest.approx([1, 0.02 + 0.49 * (1 + math.sqrt(0.5)), 0.51, 0.02, 0.02])
    warm = LoopConfig(lr_schedule="cosine", warmup_steps=10)
    assert learning_rate_factor(warm, 4, 0.5) == pytest.approx(0.5 * 0.51)


def test_the_rate_drops_in_steps():
    config = LoopConfig(lr_schedule="step", lr_drops=[0.5, 0.75], lr_drop_factor=0.1, warmup_steps=2)
    factors = [learning_rate_factor(config, step, progress) for step, progress in ((0, 0), (9, 0.49), (9, 0.5), (9, 1))]
    assert factors == pytest.approx([0.5, 1, 0.1, 0.01])


NAMED = {name: torch.nn.Parameter(torch.ones(1)) for name in ("net.backbone.a", "net.head.b", "net.backbone.c", "d")}


def test_rates_by_the_beginning_of_names():
    a, b, c, d = NAMED.values()
    groups = rate_groups(NAMED, {"backbone.": 0.1, "net.head": 2.0})
    assert {factor: [id(p) for p in group] for factor, group in groups.items()} == {
        0.1: [id(a), id(c)],
        2.0: [id(b)],
        1.0: [id(d)],
    }
    assert list(rate_groups(NAMED, {})) == [1.0]
    assert list(rate_groups(NAMED, {"net.backbone.a": 3.0, "net.": 0.5})) == [3.0, 0.5, 1.0]  # the first that fits
    with pytest.raises(UserError, match=r"no parameter is called 'bone\.\.\.\.'"):
        rate_groups(NAMED, {"backbone.": 0.1, "bone.": 0.1})
    frozen = {"bone.a": torch.nn.Parameter(torch.ones(1), requires_grad=False)}
    assert rate_groups(NAMED | frozen, {"bone.": 0.1}) == rate_groups(NAMED, {})  # a frozen one is there


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


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"lr_schedule": "linear"}, "'linear' is not one of: constant, cosine, step"),
        ({"optimizer": "lion"}, "'lion' is not one of: adamw, adamw8bit, sgd"),
        ({"precision": "half"}, "'half' is not one of: float32, bfloat16, float16"),
        ({"checkpoint_every": 0}, "checkpoint_every is 0; it must be from 1 to 2,147,483,647"),
        ({"gradient_accumulation": 0}, "gradient_accumulation is 0"),
        ({"lr_schedule": "step"}, "lr_schedule=step needs lr_drops"),
        ({"lr_schedule": "step", "lr_drops": [0.5, 1.5]}, "lr_drops is 1.5"),
        ({"learning_rate_factors": {"backbone.": -1}}, "that of 'backbone.' is -1"),
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
