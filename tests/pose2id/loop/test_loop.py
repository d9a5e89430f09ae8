"""The training loop: steps, average, accumulation, validation, checkpoints, resuming and stopping."""

import os
import signal
from functools import partial
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from torch import nn

import pose2id.loop.loop
from pose2id.errors import Terminated, UserError
from pose2id.loop.randomness import row_generators
from pose2id.loop.schedules import learning_rate_factor
from pose2id.loop.state import STATE_FILE
from tests.pose2id.loop.toys import Toy, assert_same_state, losses_of, state_of, toy_batches, toy_loop


def test_resuming_takes_the_same_steps(tmp_path):
    straight, _ = toy_loop(tmp_path / "straight")
    straight.run()
    first, _ = toy_loop(tmp_path / "parts", max_train_steps=3)
    first.run()
    assert state_of(tmp_path / "parts")["step"] == 3
    second, _ = toy_loop(tmp_path / "parts")
    second.run()
    assert (first.step, second.step) == (3, 6)
    assert_same_state(state_of(tmp_path / "straight"), state_of(tmp_path / "parts"))
    assert torch.equal(straight.model.layer.weight, second.model.layer.weight)
    assert losses_of(tmp_path / "straight") == losses_of(tmp_path / "parts")


RECIPES = {
    "sgd": {"nesterov": True, "lr_schedule": "step", "lr_drops": [0.5]},
    "adam": {"lr_schedule": "exponential", "lr_drops": [0.5], "lr_end": 0.01},
    "rmsprop": {"momentum": 0.8, "lr_schedule": "polynomial", "lr_pieces": 3},
    "adamw": {"lr_schedule": "inverse", "lr_gamma": 0.5},
}
RATES = {
    "sgd": [1, 1, 1, 0.1, 0.1, 0.1],
    "adam": [1, 1, 1, 1, 0.01 ** (1 / 3), 0.01 ** (2 / 3)],
    "rmsprop": [1, 1, (2 / 3) ** 0.9, (2 / 3) ** 0.9, (1 / 3) ** 0.9, (1 / 3) ** 0.9],
    "adamw": [(1 + 0.5 * step) ** -0.9 for step in range(6)],
}


@pytest.mark.parametrize("optimizer", RECIPES)
def test_recipes_are_resumed_too(tmp_path, optimizer):
    options = {
        **RECIPES[optimizer],
        "optimizer": optimizer,
        "learning_rate_factors": {"layer.w": 0.1, "layer.b": 0.5},
        "weight_decay": 0.3,
        "weight_decay_factors": {"bias": 0},
        "log_every": 1,
        "warmup_steps": 1,
        "max_minutes": 0.0,
    }
    toy_loop(tmp_path / "straight", **options)[0].run()
    with pytest.raises(RuntimeError, match="power cut"):
        toy_loop(tmp_path / "killed", dying_after(4), **options)[0].run()
    resumed, _ = toy_loop(tmp_path / "killed", **options)
    resumed.run()
    assert_same_state(state_of(tmp_path / "straight"), state_of(tmp_path / "killed"))
    rates = [row["learning_rate"] for row in losses_of(tmp_path / "killed")]
    assert rates == pytest.approx([0.05 * factor for factor in RATES[optimizer]])
    groups = {group["lr"]: group["weight_decay"] for group in resumed.optimizer.param_groups}
    assert sorted(groups) == pytest.approx([factor * rates[-1] for factor in (0.1, 0.5, 1.0)])
    assert [groups[rate] for rate in sorted(groups)] == [0.3, 0, 0.3]


def dying_after(steps: int):
    """Batches of so many steps, then an error."""
    calls = 0

    def batches(generators: list[torch.Generator]) -> dict[str, torch.Tensor]:
        nonlocal calls
        calls += 1
        if calls > steps:
            raise RuntimeError("power cut")
        return toy_batches(generators)

    return batches


@pytest.mark.parametrize("killed_at", [4, 5])
def test_a_run_that_died_goes_on_from_its_last_checkpoint(tmp_path, killed_at):
    options = {"lr_schedule": "cosine", "checkpoint_every": 2, "log_every": 1}
    toy_loop(tmp_path / "straight", **options)[0].run()
    with pytest.raises(RuntimeError, match="power cut"):
        toy_loop(tmp_path / "killed", dying_after(killed_at), **options)[0].run()
    assert state_of(tmp_path / "killed")["step"] == 4
    with (tmp_path / "killed/losses.jsonl").open("a") as file:
        file.write('{"step": 6, "lo')  # a line that was being written
    toy_loop(tmp_path / "killed", **options)[0].run()
    assert_same_state(state_of(tmp_path / "straight"), state_of(tmp_path / "killed"))
    losses = losses_of(tmp_path / "killed")
    assert losses == losses_of(tmp_path / "straight")
    assert [row["step"] for row in losses] == [1, 2, 3, 4, 5, 6]
    assert sorted(path.name for path in (tmp_path / "killed").iterdir()) == ["losses.jsonl", STATE_FILE]


def test_dropout_is_resumed_too(tmp_path):
    def loop_of(folder: Path, steps: int):
        loop, _ = toy_loop(folder, max_train_steps=steps, max_grad_norm=0.0)
        loop.model.layer.register_forward_hook(lambda module, inputs, output: nn.functional.dropout(output, 0.5))
        return loop

    loop_of(tmp_path / "straight", 4).run()
    loop_of(tmp_path / "parts", 2).run()
    torch.rand(7)  # whatever else draws from the global generator
    loop_of(tmp_path / "parts", 4).run()
    assert losses_of(tmp_path / "straight") == losses_of(tmp_path / "parts")


def test_a_finished_run_takes_no_further_step(tmp_path):
    toy_loop(tmp_path)[0].run()
    before, losses = state_of(tmp_path), losses_of(tmp_path)
    loop, exported = toy_loop(tmp_path)
    loop.run()
    assert loop.step == 6 and len(exported) == 1  # the first run may have been killed before it exported
    assert any(torch.equal(exported[0], average) for average in before["ema"]["shadow_params"])
    assert_same_state(before, state_of(tmp_path))
    assert losses_of(tmp_path) == losses


def test_exports_see_the_averaged_weights(tmp_path):
    loop, exported = toy_loop(tmp_path)
    loop.run()
    state = state_of(tmp_path)
    assert len(exported) == 2  # after steps 3 and 6
    assert any(torch.equal(exported[-1], average) for average in state["ema"]["shadow_params"])
    assert torch.equal(state["model"]["layer.weight"], loop.model.layer.weight.detach().cpu())
    assert not torch.equal(exported[-1], state["model"]["layer.weight"])


def test_without_average_exports_see_the_weights(tmp_path):
    loop, exported = toy_loop(tmp_path, ema_decay=0.0)
    loop.run()
    assert torch.equal(exported[-1], loop.model.layer.weight.detach().cpu())
    assert state_of(tmp_path)["ema"] is None


def test_validation_sees_the_averaged_weights_and_is_logged(tmp_path):
    seen = {}

    def validate(folder: Path, step: int) -> dict[str, float]:
        seen[step] = loop.model.layer.weight.detach().cpu().clone()
        return {"score": 10.0 * step}

    loop, exported = toy_loop(tmp_path, validate=validate, validate_every=3, checkpoint_every=6)
    loop.run()
    plain, _ = toy_loop(tmp_path / "plain", checkpoint_every=6)
    plain.run()
    assert list(seen) == [3, 6]
    assert torch.equal(seen[6], exported[-1])
    assert torch.equal(loop.model.layer.weight, plain.model.layer.weight)  # validation changes nothing
    scores = {row["step"]: row["validation/score"] for row in losses_of(tmp_path) if "validation/score" in row}
    assert scores == {3: 30.0, 6: 60.0}


PLAIN = {
    "adamw": partial(torch.optim.AdamW, weight_decay=0.1),
    "sgd": partial(torch.optim.SGD, momentum=0.8, weight_decay=0.1),
    "adam": partial(torch.optim.Adam, weight_decay=0.1),
    "rmsprop": partial(torch.optim.RMSprop, alpha=0.8, weight_decay=0.1),
}


@pytest.mark.parametrize("optimizer", PLAIN)
def test_steps_are_the_plain_ones(tmp_path, optimizer):
    options = {"lr_schedule": "cosine", "weight_decay": 0.1, "max_grad_norm": 0.5, "seed": 4, "ema_decay": 0.0}
    loop, _ = toy_loop(tmp_path, optimizer=optimizer, momentum=0.8, **options)
    loop.run()
    model, config = Toy(), loop.config
    plain = PLAIN[optimizer](model.layer.parameters())
    losses, rates = [], []
    for step in range(6):
        generators = row_generators(4, step, range(8))
        plain.param_groups[0]["lr"] = 0.05 * learning_rate_factor(config, step, step / 6)
        loss, _ = model(toy_batches(generators), generators)
        plain.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.layer.parameters(), 0.5)
        plain.step()
        losses.append(loss.item())
        rates.append(plain.param_groups[0]["lr"])
    assert torch.allclose(loop.model.layer.weight.cpu(), model.layer.weight, atol=1e-6)
    assert torch.equal(loop.model.frozen.cpu(), torch.ones(2))
    logged = losses_of(tmp_path)
    assert [row["loss"] for row in logged] == pytest.approx(losses, rel=1e-5)
    assert [row["learning_rate"] for row in logged] == rates


def test_accumulated_batches_are_one_large_batch(tmp_path):
    large, _ = toy_loop(tmp_path / "large", batch_size=12)
    large.run()
    small, _ = toy_loop(tmp_path / "small", batch_size=4, gradient_accumulation=3)
    small.run()
    assert torch.allclose(large.model.layer.weight, small.model.layer.weight, atol=1e-6)
    for one, three in zip(losses_of(tmp_path / "large"), losses_of(tmp_path / "small"), strict=True):
        assert one == pytest.approx(three, rel=1e-5)
    other, _ = toy_loop(tmp_path / "other", batch_size=4)
    other.run()
    assert not torch.allclose(large.model.layer.weight, other.model.layer.weight, atol=1e-4)


class Scaled(Accelerator):
    """What `Accelerator` is with float16 on a GPU: losses are scaled, and the scale grows every second step."""

    def __init__(self, **options) -> None:
        super().__init__(**options)
        self.scaler = torch.amp.GradScaler("cpu", init_scale=4.0, growth_interval=2)


def test_the_scale_of_float16_losses_is_resumed(tmp_path, monkeypatch):
    monkeypatch.setattr(pose2id.loop.loop, "Accelerator", Scaled)
    options = {"max_grad_norm": 0.0, "ema_decay": 0.0}
    straight, _ = toy_loop(tmp_path / "straight", **options)
    straight.run()
    for steps in (3, 6):
        parts, _ = toy_loop(tmp_path / "parts", max_train_steps=steps, **options)
        parts.run()
    states = [state_of(tmp_path / name)["scaler"] for name in ("straight", "parts")]
    assert states[0] == states[1] and states[0]["scale"] == 4.0 * 2**3
    assert torch.equal(straight.model.layer.weight, parts.model.layer.weight)


@pytest.mark.parametrize(
    ("number", "raised"), [(signal.SIGTERM, Terminated), (signal.SIGINT, KeyboardInterrupt)], ids=["kill", "ctrl-c"]
)
def test_a_signal_lets_the_step_end_and_a_checkpoint_be_written(tmp_path, number, raised):
    calls = 0

    def interrupted(generators: list[torch.Generator]) -> dict[str, torch.Tensor]:
        nonlocal calls
        calls += 1
        if calls == 2:
            os.kill(os.getpid(), number)
        return toy_batches(generators)

    before = [signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)]
    loop, exported = toy_loop(tmp_path / "stopped", interrupted, checkpoint_every=100)
    with pytest.raises(raised) as stop:
        loop.run()
    assert type(stop.value) is raised
    assert [signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)] == before
    assert state_of(tmp_path / "stopped")["step"] == calls == 2 and len(exported) == 1
    toy_loop(tmp_path / "stopped", checkpoint_every=100)[0].run()
    toy_loop(tmp_path / "straight", checkpoint_every=100)[0].run()
    assert_same_state(state_of(tmp_path / "straight"), state_of(tmp_path / "stopped"))


def test_the_clock_can_end_a_run(tmp_path):
    loop, exported = toy_loop(tmp_path, max_train_steps=10**9, max_minutes=0.005, checkpoint_every=10**9)
    loop.run()
    assert 0 < loop.step < 10**6 and len(exported) == 1
    assert state_of(tmp_path)["seconds"] >= 0.3


def test_losses_that_begin_later_are_logged_from_there(tmp_path):
    loop, _ = toy_loop(tmp_path, log_every=6)
    forward, steps = loop.model.forward, iter(range(6))

    def later(batch, generators):
        loss, logged = forward(batch, generators)
        return loss, logged | ({"late": 2.0} if next(steps) >= 4 else {})

    loop.model.forward = later
    loop.run()
    assert ["late" in row for row in losses_of(tmp_path)] == [False] * 4 + [True] * 2


def test_curves_for_tensorboard(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    options = {"tensorboard": True, "log_every": 1}
    with pytest.raises(RuntimeError, match="power cut"):
        toy_loop(tmp_path, dying_after(5), **options)[0].run()  # its last checkpoint is of step 3
    toy_loop(tmp_path, **options)[0].run()
    curves = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert set(curves.Tags()["scalars"]) == {"loss", "noise", "learning_rate"}
    points = curves.Scalars("loss")
    assert [point.step for point in points] == [1, 2, 3, 4, 5, 6]
    assert [point.value for point in points] == pytest.approx([row["loss"] for row in losses_of(tmp_path)])


def test_half_precision_needs_a_gpu(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="precision=float16 trains on GPUs only"):
        toy_loop(tmp_path, precision="float16")
