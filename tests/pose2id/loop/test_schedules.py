"""Learning-rate schedules against the formulas that papers and their code have."""

import math

import pytest

from pose2id.errors import UserError
from pose2id.loop.schedules import SCHEDULES, learning_rate_factor
from pose2id.loop.settings import LoopConfig


def factors_of_run(steps: int, **options) -> list[float]:
    """The factor at every step of a run of so many."""
    config = LoopConfig(**{"warmup_steps": 0, "max_train_steps": steps, **options})
    return [learning_rate_factor(config, step, step / steps) for step in range(steps)]


def test_constant_and_cosine():
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


def test_exponential_is_alignedreids_from_epoch_to_epoch():
    """Its code sets 0.001 ** ((epoch + 1 - start) / (epochs + 1 - start)) from epoch `start` on, counted from 1."""
    epochs, start = 300, 151
    expected = [
        0.001 ** ((epoch + 1 - start) / (epochs + 1 - start)) if epoch >= start else 1.0
        for epoch in range(1, epochs + 1)
    ]
    ends = factors_of_run(epochs, lr_schedule="exponential", lr_drops=[0.5])[1:]  # of the epochs; steps are theirs here
    assert ends == pytest.approx(expected[:-1])
    config = LoopConfig(lr_schedule="exponential", lr_drops=[0.5], lr_end=0.01)
    assert [learning_rate_factor(config, 9, share) for share in (0, 0.5, 0.75, 1, 1.5)] == pytest.approx(
        [1, 1, 0.1, 0.01, 0.01]
    )


def test_polynomial_is_spreids_in_ten_steps():
    """Its code takes (1 - step / steps) ** 0.9 at the last step of each tenth, for the next tenth."""
    steps, factor, expected = 20000, 1.0, []
    for step in range(steps):
        expected.append(factor)
        if (step + 1) % (steps // 10) == 0:
            factor = (1 - step / steps) ** 0.9
    in_pieces = factors_of_run(steps, lr_schedule="polynomial", lr_pieces=10)
    assert in_pieces == pytest.approx(expected, rel=1e-3)  # theirs is a step behind
    assert len(set(in_pieces)) == 10
    smooth = factors_of_run(50, lr_schedule="polynomial", lr_power=2.0)
    assert smooth == pytest.approx([(1 - step / 50) ** 2 for step in range(50)])


@pytest.mark.parametrize("pieces", [3, 7, 10, 49, 100])
def test_pieces_begin_where_they_should(pieces):
    """Shares such as 29 / 100 times 100 are a little less than 29."""
    factors = factors_of_run(pieces, lr_schedule="polynomial", lr_power=1.0, lr_pieces=pieces)
    assert factors == pytest.approx([1 - piece / pieces for piece in range(pieces)])


def test_inverse_is_idlas():
    config = LoopConfig(lr_schedule="inverse", lr_power=0.75, warmup_steps=0)
    steps = (0, 1, 10_000, 210_000)
    factors = [0.01 * learning_rate_factor(config, step, 0.3) for step in steps]
    assert factors == pytest.approx([0.01 * (1 + 1e-4 * step) ** -0.75 for step in steps])
    faster = LoopConfig(lr_schedule="inverse", lr_power=1.0, lr_gamma=0.5, warmup_steps=0)
    assert learning_rate_factor(faster, 2, 0.0) == 0.5


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_begins_at_the_rate_and_is_warmed_up(name):
    options = {"lr_schedule": name, "lr_drops": [0.5]}
    cold, warm = LoopConfig(**options, warmup_steps=0), LoopConfig(**options, warmup_steps=8)
    assert learning_rate_factor(cold, 0, 0.0) == 1.0
    assert learning_rate_factor(warm, 1, 0.7) == pytest.approx(0.25 * learning_rate_factor(cold, 1, 0.7))
    factors = factors_of_run(40, **options)
    assert sorted(factors, reverse=True) == factors and 0 < factors[-1] <= 1
    assert 0 <= learning_rate_factor(cold, 40, 1.5) <= factors[-1]  # a clock may run over


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"lr_schedule": "linear"}, "'linear' is not one of: constant, cosine, step, exponential, polynomial, inverse"),
        ({"lr_schedule": "step"}, "lr_schedule=step needs lr_drops"),
        ({"lr_schedule": "step", "lr_drops": [0.5, 1.5]}, r"lr_drops is 1\.5"),
        ({"lr_schedule": "exponential"}, "lr_schedule=exponential needs lr_drops of one share"),
        (
            {"lr_schedule": "exponential", "lr_drops": [0.5, 0.75]},
            "lr_schedule=exponential needs lr_drops of one share",
        ),
        ({"lr_schedule": "exponential", "lr_drops": [1.0]}, "below 1"),
        ({"lr_end": 0}, "lr_end is 0; it must be above 0 to 1"),
        ({"lr_power": -1.0}, "lr_power is -1.0; it must be from 0 to 1000"),
        ({"lr_pieces": -1}, "lr_pieces is -1"),
        ({"lr_gamma": -0.1}, "lr_gamma is -0.1"),
    ],
)
def test_schedules_that_cannot_be(options, told):
    with pytest.raises(UserError, match=told) as error:
        LoopConfig(**options)
    assert "\n" not in str(error.value)
